use std::fmt;
use std::str::FromStr;

use tiberius::{AuthMethod, Config, EncryptionLevel};

use crate::error::{Error, ErrorKind};

/// A SQL Server address, which never shows its password.
///
/// ADO: `server=tcp:host,1433;database=orders;user=app;password=…`. JDBC:
/// `jdbc:sqlserver://host:1433;databaseName=orders;user=app;password=…`. URL:
/// `sqlserver://app:…@host:1433/orders?encrypt=strict`. The connection is encrypted and the certificate verified,
/// unless `encrypt=false` or `TrustServerCertificate=true` says otherwise. `TrustServerCertificateCA=/path` names your own
/// authority.
///
/// ```
/// use onward_migrate::SqlServerUrl;
///
/// let url: SqlServerUrl = "sqlserver://app:secret@db.example/shop?encrypt=strict".parse().unwrap();
/// assert_eq!(url.to_string(), "sqlserver://db.example:1433");
/// ```
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
            Config::from_jdbc_string(url).map_err(|_| malformed("the JDBC form is wrong"))?
        } else if let Some(rest) = ["sqlserver://", "mssql://"]
            .iter()
            .find_map(|scheme| lower.starts_with(scheme).then(|| &url[scheme.len()..]))
        {
            // Some tools write the JDBC form without its prefix.
            if rest.contains(';') && !rest.contains('@') {
                Config::from_jdbc_string(&format!("jdbc:sqlserver://{rest}"))
                    .map_err(|_| malformed("the JDBC form is wrong"))?
            } else {
                from_url(rest)?
            }
        } else {
            Config::from_ado_string(url).map_err(|_| malformed("the ADO form is wrong"))?
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
    let message = format!("DATABASE_URL cannot be read as a SQL Server address: {reason}");
    let help = "write it as `server=tcp:HOST,1433;database=NAME;user=USER;password=PASSWORD`, as \
                `jdbc:sqlserver://HOST:1433;databaseName=NAME;…` or as `sqlserver://USER:PASSWORD@HOST:1433/NAME`, \
                and quote or percent-encode special characters in the password";
    Error::new(ErrorKind::Configuration, message, help)
}

/// `sqlserver://user:password@host:port/database?option=value`, with the parts after the scheme in `rest`.
fn from_url(rest: &str) -> Result<Config, Error> {
    let url =
        url::Url::parse(&format!("sqlserver://{rest}")).map_err(|error| malformed(&error.to_string()))?;
    let decoded = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text);
        bytes.decode_utf8().map(|text| text.into_owned()).map_err(|_| malformed("a part of it is not UTF-8"))
    };
    if has_bare_percent(rest) {
        return Err(malformed(
            "a `%` is not followed by two hexadecimal digits: write a percent sign as %25",
        ));
    }
    if url.username().is_empty() {
        return Err(malformed("it names no user"));
    }
    let password = url.password().ok_or_else(|| malformed("it holds no password"))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| malformed("it names no host"))?;
    let mut config = Config::new();
    config.host(decoded(host)?.trim_matches(['[', ']']));
    config.port(url.port().unwrap_or(1433));
    config.authentication(AuthMethod::sql_server(decoded(url.username())?, decoded(password)?));
    let database = decoded(url.path().trim_matches('/'))?;
    if !database.is_empty() {
        config.database(database);
    }
    for (key, value) in url.query_pairs() {
        set(&mut config, &key, &value)?;
    }
    Ok(config)
}

fn has_bare_percent(text: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    text.match_indices('%').any(|(at, _)| !is_hex(bytes.get(at + 1)) || !is_hex(bytes.get(at + 2)))
}

fn set(config: &mut Config, key: &str, value: &str) -> Result<(), Error> {
    let word = value.to_ascii_lowercase();
    let yes = ["true", "yes", "1"].contains(&word.as_str());
    let no = ["false", "no", "0"].contains(&word.as_str());
    match key.to_ascii_lowercase().replace([' ', '_'], "").as_str() {
        "database" | "databasename" => config.database(value),
        "encrypt" if word == "strict" => config.encryption(EncryptionLevel::Strict),
        "encrypt" if yes || word == "mandatory" => config.encryption(EncryptionLevel::Required),
        // Only the login is encrypted then, as in ADO and JDBC.
        "encrypt" if no || word == "optional" => config.encryption(EncryptionLevel::Off),
        "encrypt" if value == "DANGER_PLAINTEXT" => config.encryption(EncryptionLevel::NotSupported),
        "trustservercertificate" if yes => config.trust_cert(),
        "trustservercertificate" if no => {}
        "trustservercertificateca" => config.trust_cert_ca(value),
        "hostnameincertificate" => config.hostname_in_certificate(value),
        "encrypt" | "trustservercertificate" => {
            return Err(malformed(&format!("the option `{key}` has an unknown value")));
        }
        _ => return Err(malformed("an option after the `?` is unknown")),
    }
    Ok(())
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
