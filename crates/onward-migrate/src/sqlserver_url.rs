use std::fmt;
use std::str::FromStr;

use tiberius::{AuthMethod, Config, EncryptionLevel};

use crate::error::{Error, ErrorKind};

/// A SQL Server address; it never shows its password.
///
/// ADO: `server=tcp:host,1433;database=orders;user=app;password=…`. JDBC:
/// `jdbc:sqlserver://host:1433;databaseName=orders;user=app;password=…`. URL:
/// `sqlserver://app:…@host:1433/orders?encrypt=strict`. The connection is encrypted and the certificate verified
/// unless `encrypt=false` or `TrustServerCertificate=true` says otherwise; `TrustServerCertificateCA=/path` names an
/// authority of one's own.
#[derive(Clone)]
pub struct SqlServerUrl {
    config: Config,
}

impl FromStr for SqlServerUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let url = url.trim();
        let lower = url.to_ascii_lowercase();
        let config = if lower.starts_with("jdbc:") {
            Config::from_jdbc_string(url).map_err(|_| malformed("it is no JDBC address"))?
        } else if let Some(rest) = ["sqlserver://", "mssql://"]
            .iter()
            .find_map(|scheme| lower.starts_with(scheme).then(|| &url[scheme.len()..]))
        {
            // Some tools write JDBC's form without its prefix.
            if rest.contains(';') && !rest.contains('@') {
                Config::from_jdbc_string(&format!("jdbc:sqlserver://{rest}"))
                    .map_err(|_| malformed("it is no JDBC address"))?
            } else {
                from_url(rest)?
            }
        } else {
            Config::from_ado_string(url).map_err(|_| malformed("it is no ADO connection string"))?
        };
        if config.get_addr().ends_with(":1434") {
            return Err(malformed("an instance name needs its port: `server=tcp:host,PORT`"));
        }
        Ok(Self { config })
    }
}

impl SqlServerUrl {
    /// Another database on the same server.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.database(name);
        other
    }

    /// The driver's configuration; it holds the password.
    #[must_use]
    pub fn driver_config(&self) -> Config {
        self.config.clone()
    }
}

impl fmt::Display for SqlServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlserver://{}", self.config.get_addr())
    }
}

impl fmt::Debug for SqlServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The reason never quotes the address, which may hold a password.
fn malformed(reason: &str) -> Error {
    let message = format!("DATABASE_URL is no SQL Server address: {reason}");
    let help = "write it as `server=tcp:HOST,1433;database=NAME;user=USER;password=PASSWORD`, as \
                `jdbc:sqlserver://HOST:1433;databaseName=NAME;…` or as `sqlserver://USER:PASSWORD@HOST:1433/NAME`, \
                and quote or percent-encode special characters in the password";
    Error::new(ErrorKind::Configuration, message, help)
}

/// What stands behind `sqlserver://`: `user:password@host:port/database?option=value`.
fn from_url(rest: &str) -> Result<Config, Error> {
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (credentials, place) = address.rsplit_once('@').ok_or_else(|| malformed("it names no user"))?;
    let (user, password) = credentials.split_once(':').ok_or_else(|| malformed("it holds no password"))?;
    let (host_port, database) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| malformed("the port is no number"))?)
        }
        _ => (host_port, 1433),
    };
    if host.is_empty() {
        return Err(malformed("it names no host"));
    }
    let mut config = Config::new();
    config.host(host.trim_start_matches('[').trim_end_matches(']'));
    config.port(port);
    config.authentication(AuthMethod::sql_server(decoded(user)?, decoded(password)?));
    if !database.is_empty() {
        config.database(decoded(database)?);
    }
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let value = decoded(value)?;
        let yes = ["true", "yes", "1"].contains(&value.to_ascii_lowercase().as_str());
        match key.to_ascii_lowercase().replace([' ', '_'], "").as_str() {
            "database" | "databasename" => config.database(value),
            "encrypt" if value.eq_ignore_ascii_case("strict") => config.encryption(EncryptionLevel::Strict),
            "encrypt" if yes || value.eq_ignore_ascii_case("mandatory") => {
                config.encryption(EncryptionLevel::Required);
            }
            // Only the login is encrypted then, as ADO and JDBC have it.
            "encrypt" if ["false", "no", "0", "optional"].contains(&value.to_ascii_lowercase().as_str()) => {
                config.encryption(EncryptionLevel::Off);
            }
            "encrypt" if value == "DANGER_PLAINTEXT" => config.encryption(EncryptionLevel::NotSupported),
            "trustservercertificate" if yes => config.trust_cert(),
            "trustservercertificate" => {}
            "trustservercertificateca" => config.trust_cert_ca(value),
            "hostnameincertificate" => config.hostname_in_certificate(value),
            _ => return Err(malformed(&format!("the option `{key}` is unknown"))),
        }
    }
    Ok(config)
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, Error> {
    let wrong = || malformed("a percent sign is not followed by two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| (byte as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else { return Err(wrong()) };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_none_shows_its_password() {
        for url in [
            "server=tcp:db.example,1444;database=orders;user=app;password=hush",
            "Server=db.example,1444;Initial Catalog=orders;User Id=app;Password='hush;er';Encrypt=strict",
            "jdbc:sqlserver://db.example:1444;databaseName=orders;user=app;password=hush",
            "sqlserver://db.example:1444;databaseName=orders;user=app;password=hush",
            "sqlserver://app:hush%40%3B@db.example:1444/orders?encrypt=true&trustServerCertificate=true",
            "mssql://app:hush@db.example:1444?database=orders",
        ] {
            let parsed: SqlServerUrl = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(parsed.to_string(), "sqlserver://db.example:1444");
            assert!(!format!("{parsed:?}").contains("hush"));
        }
    }

    #[test]
    fn a_malformed_address_is_named_without_being_shown() {
        for url in [
            "sqlserver://db.example/orders?password=hush",
            "sqlserver://app:hush@db.example:port/orders",
            "sqlserver://app:hush%@db.example/orders",
            "sqlserver://app:hush@db.example/orders?encrypt=perhaps",
            "server=tcp:db.example,port;password=hush",
            "server=db.example\\SQLEXPRESS;user=app;password=hush",
            "jdbc:sqlserver:hush",
        ] {
            let error = url.parse::<SqlServerUrl>().expect_err(url);
            assert!(matches!(error.kind, ErrorKind::Configuration), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
