use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tiberius::{AuthMethod, Config, EncryptionLevel};

use super::pairs::{self, Pair};
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
/// assert_eq!(url.to_string(), "sqlserver://db.example:1433/shop");
/// ```
#[derive(Clone)]
pub struct SqlServerUrl {
    config: Config,
    /// The file of one's own authority.
    authority: Option<String>,
    database: Option<String>,
}

impl FromStr for SqlServerUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let url = url.trim();
        let lower = url.to_ascii_lowercase();
        let behind = |scheme: &str| lower.starts_with(scheme).then(|| &url[scheme.len()..]);
        let mut address = Address::default();
        if let Some(rest) = behind("jdbc:sqlserver://") {
            address.set_jdbc(rest)?;
        } else if let Some(rest) = behind("sqlserver://").or_else(|| behind("mssql://")) {
            // Some tools write the JDBC form without its prefix.
            match rest.contains(';') && !rest.contains('@') {
                true => address.set_jdbc(rest)?,
                false => address.set_url(rest)?,
            }
        } else if url.split(['=', ';', '@', '\'', '"', '{']).next().is_some_and(|start| start.contains(':')) {
            return Err(malformed("it begins with a scheme that is not known"));
        } else {
            address.set_pairs(url)?;
        }
        address.finish()
    }
}

impl SqlServerUrl {
    /// Another database on the same server.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.database(name);
        other.database = Some(name.to_owned());
        other
    }

    /// Checks the file of the authority, of which the driver says less.
    pub(super) fn check_authority(&self) -> Result<(), Error> {
        let Some(file) = &self.authority else { return Ok(()) };
        let refused = |reason: String| {
            let message = format!("DATABASE_URL: TrustServerCertificateCA names {file}, {reason}");
            let help = "name the file with the certificate of the authority, as PEM or DER";
            Error::new(ErrorKind::Configuration, message, help)
        };
        let bytes = std::fs::read(file).map_err(|error| refused(format!("which cannot be read: {error}")))?;
        // DER begins with a sequence.
        // <https://www.rfc-editor.org/rfc/rfc5280#section-4.1>
        let is_pem = String::from_utf8_lossy(&bytes).contains("-----BEGIN CERTIFICATE-----");
        if is_pem || bytes.first() == Some(&0x30) {
            Ok(())
        } else {
            Err(refused("which holds no certificate".to_owned()))
        }
    }

    /// The driver's configuration; it holds the password.
    #[must_use]
    pub fn driver_config(&self) -> Config {
        self.config.clone()
    }
}

impl fmt::Display for SqlServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlserver://{}", self.config.get_addr())?;
        self.database.as_ref().map_or(Ok(()), |database| write!(f, "/{database}"))
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

/// An address while its parts are read.
#[derive(Default)]
struct Address {
    config: Config,
    host: Option<String>,
    port: Option<u16>,
    has_instance: bool,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    /// The file of one's own authority.
    authority: Option<String>,
    trusts_every_certificate: bool,
}

impl Address {
    /// `server=…;database=…;user=…;password=…`
    fn set_pairs(&mut self, text: &str) -> Result<(), Error> {
        for Pair { key, value, place } in pairs::parse(text).map_err(|reason| malformed(&reason))? {
            if !self.set(&key, &value)? {
                // The key is not shown: where a password holds a semicolon, it is a piece of it.
                return Err(malformed(&format!("the key of part {place} is not known")));
            }
        }
        Ok(())
    }

    /// `host:port;databaseName=…;user=…;password=…`
    fn set_jdbc(&mut self, rest: &str) -> Result<(), Error> {
        let (server, pairs) = rest.split_once(';').unwrap_or((rest, ""));
        let (server, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (server, None),
        };
        if !server.is_empty() {
            self.set_server(server)?;
        }
        if let Some(port) = port {
            self.set_port(port)?;
        }
        self.set_pairs(pairs)
    }

    /// `user:password@host:port/database?option=value`
    fn set_url(&mut self, rest: &str) -> Result<(), Error> {
        let url =
            url::Url::parse(&format!("sqlserver://{rest}")).map_err(|error| malformed(&error.to_string()))?;
        let decoded = |text: &str| {
            let bytes = percent_encoding::percent_decode_str(text);
            bytes
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| malformed("a part of it is not UTF-8"))
        };
        if has_bare_percent(rest) {
            return Err(malformed(
                "a `%` is not followed by two hexadecimal digits: write a percent sign as %25",
            ));
        }
        if rest.split(['/', '?']).next().is_some_and(|server| server.matches('@').count() > 1) {
            return Err(malformed(
                "it has two `@` before the database: write the one in the password as %40",
            ));
        }
        if !url.username().is_empty() {
            self.user = Some(decoded(url.username())?);
        }
        self.password = url.password().map(decoded).transpose()?;
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| malformed("it names no host"))?;
        self.set_server(&decoded(host)?)?;
        self.port = url.port();
        let database = decoded(url.path().trim_matches('/'))?;
        if !database.is_empty() {
            self.database = Some(database);
        }
        for (key, value) in url.query_pairs() {
            if !self.set(&pairs::normalised(&key), &value)? {
                return Err(malformed("an option after the `?` is not known"));
            }
        }
        Ok(())
    }

    /// Sets what a key says; false for a key that is not known. A known one is shown in an error, its value never.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, Error> {
        Ok(self.set_place(key, value)? || self.set_connection(key, value)? || accept(key, value)?)
    }

    fn set_place(&mut self, key: &str, value: &str) -> Result<bool, Error> {
        match key {
            "server" | "datasource" | "address" | "addr" | "networkaddress" | "servername" => {
                self.set_server(value)?;
            }
            "port" | "portnumber" => self.set_port(value)?,
            "instancename" => self.has_instance = true,
            "database" | "initialcatalog" | "databasename" => self.database = Some(value.to_owned()),
            "user" | "userid" | "uid" | "username" => self.user = Some(value.to_owned()),
            "password" | "pwd" => self.password = Some(value.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_connection(&mut self, key: &str, value: &str) -> Result<bool, Error> {
        let config = &mut self.config;
        match key {
            "encrypt" => config.encryption(encryption(value)?),
            "trustservercertificate" => {
                self.trusts_every_certificate = yes_or_no(key, value)?;
            }
            "trustservercertificateca" => self.authority = Some(value.to_owned()),
            "hostnameincertificate" => config.hostname_in_certificate(value),
            "app" | "applicationname" => config.application_name(value),
            "workstationid" | "wsid" => config.client_name(value),
            "packetsize" => config.packet_size(number(key, value)?),
            "connecttimeout" | "connectiontimeout" | "timeout" | "logintimeout" => {
                // Zero means no limit.
                let seconds = Some(number(key, value)?).filter(|seconds| *seconds > 0);
                config.handshake_timeout(seconds.map(|seconds| Duration::from_secs(seconds.into())));
            }
            "multisubnetfailover" => config.multi_subnet_failover(yes_or_no(key, value)?),
            "applicationintent" => match value.to_ascii_lowercase().as_str() {
                "readwrite" => {}
                _ => return Err(refused(key, "the app writes: the value must be ReadWrite")),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `[tcp:]HOST[\INSTANCE][,PORT]`
    fn set_server(&mut self, value: &str) -> Result<(), Error> {
        let lower = value.to_ascii_lowercase();
        let value = if lower.starts_with("tcp:") { &value[4..] } else { value };
        if ["np:", "lpc:", "admin:", "(localdb)"].iter().any(|start| lower.starts_with(start)) {
            return Err(malformed("only TCP is supported: `server=tcp:HOST,PORT`"));
        }
        let (host, port) = value.split_once(',').map_or((value, None), |(host, port)| (host, Some(port)));
        if let Some(port) = port {
            self.set_port(port)?;
        }
        let (host, instance) = host.split_once('\\').map_or((host, None), |(host, name)| (host, Some(name)));
        self.has_instance |= instance.is_some();
        let host = host.trim().trim_start_matches('[').trim_end_matches(']');
        let host = if host == "." || host.eq_ignore_ascii_case("(local)") { "localhost" } else { host };
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        if !is_address && host.contains(':') {
            return Err(malformed("the port of a server stands behind a comma: `server=tcp:HOST,PORT`"));
        }
        // What is no host is not shown, because it may be a password at the wrong place.
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || !is_address && !host.chars().all(is_part) {
            return Err(malformed("the name of the server is not the name of a host"));
        }
        self.host = Some(host.to_owned());
        Ok(())
    }

    fn set_port(&mut self, value: &str) -> Result<(), Error> {
        let port = value.trim().parse().ok().filter(|port| *port > 0);
        self.port = Some(port.ok_or_else(|| malformed("the port is not a number from 1 to 65535"))?);
        Ok(())
    }

    fn finish(mut self) -> Result<SqlServerUrl, Error> {
        let host = self.host.ok_or_else(|| malformed("it names no host"))?;
        if self.has_instance && self.port.is_none() {
            return Err(malformed("an instance needs its port: `server=tcp:HOST,PORT`"));
        }
        let user = self.user.filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| malformed("it names no user"))?;
        let password = self.password.ok_or_else(|| malformed("it holds no password"))?;
        // The driver panics at both.
        match (&self.authority, self.trusts_every_certificate) {
            (Some(_), true) => {
                let help = "a certificate is checked against an authority, or it is trusted unchecked: remove one of both";
                return Err(refused("trustservercertificate", help));
            }
            (Some(file), false) => self.config.trust_cert_ca(file.clone()),
            (None, true) => self.config.trust_cert(),
            (None, false) => {}
        }
        if let Some(database) = &self.database {
            self.config.database(database);
        }
        self.config.host(host);
        self.config.port(self.port.unwrap_or(1433));
        self.config.authentication(AuthMethod::sql_server(user, password));
        Ok(SqlServerUrl { config: self.config, authority: self.authority, database: self.database })
    }
}

/// Whether a key asks for what this driver does in any case, or for nothing that concerns it. One that asks for something else is
/// an error.
fn accept(key: &str, value: &str) -> Result<bool, Error> {
    let is_off = || yes_or_no(key, value).is_ok_and(|is_on| !is_on);
    match key {
        // They say how ADO.NET keeps its connections, or which driver it is.
        "persistsecurityinfo"
        | "pooling"
        | "minpoolsize"
        | "maxpoolsize"
        | "poolblockingperiod"
        | "enlist"
        | "multipleactiveresultsets"
        | "connectretrycount"
        | "connectretryinterval"
        | "connectionlifetime"
        | "loadbalancetimeout"
        | "driver"
        | "typesystemversion" => Ok(true),
        "integratedsecurity" | "trustedconnection" if is_off() => Ok(true),
        "integratedsecurity" | "trustedconnection" => Err(refused(
            key,
            "a Windows login is not supported: name a login of SQL Server by `user` and `password`",
        )),
        "authentication" if ["sqlpassword", "notspecified"].contains(&pairs::normalised(value).as_str()) => {
            Ok(true)
        }
        "authentication" => Err(refused(
            key,
            "a login by Microsoft Entra is not supported: name a login of SQL Server by `user` and `password`",
        )),
        "columnencryptionsetting" | "columnencryption" if value.eq_ignore_ascii_case("disabled") => Ok(true),
        "columnencryptionsetting" | "columnencryption" => {
            Err(refused(key, "encrypted columns are not supported"))
        }
        "failoverpartner" => {
            Err(refused(key, "mirroring is not supported: name the listener of an availability group"))
        }
        "language" | "currentlanguage" => Err(refused(key, "set the language of the login instead")),
        "attachdbfilename" | "userinstance" | "contextconnection" | "replication" => {
            Err(refused(key, "it is not supported: remove it"))
        }
        _ => Ok(false),
    }
}

fn refused(key: &str, help: &str) -> Error {
    let message = format!("DATABASE_URL: `{key}` with this value is refused");
    Error::new(ErrorKind::Configuration, message, help)
}

fn yes_or_no(key: &str, value: &str) -> Result<bool, Error> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(refused(key, "write true or false")),
    }
}

fn number(key: &str, value: &str) -> Result<u32, Error> {
    value.parse().map_err(|_| refused(key, "write a number"))
}

/// <https://learn.microsoft.com/dotnet/api/microsoft.data.sqlclient.sqlconnectionencryptoption>
fn encryption(value: &str) -> Result<EncryptionLevel, Error> {
    match value.to_ascii_lowercase().as_str() {
        "strict" => Ok(EncryptionLevel::Strict),
        "true" | "yes" | "1" | "mandatory" => Ok(EncryptionLevel::Required),
        // Only the login is encrypted then, as in ADO and JDBC.
        "false" | "no" | "0" | "optional" => Ok(EncryptionLevel::Off),
        _ if value == "DANGER_PLAINTEXT" => Ok(EncryptionLevel::NotSupported),
        _ => Err(refused("encrypt", "write true, false or strict")),
    }
}

fn has_bare_percent(text: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    text.match_indices('%').any(|(at, _)| !is_hex(bytes.get(at + 1)) || !is_hex(bytes.get(at + 2)))
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
            assert_eq!(parsed.to_string(), "sqlserver://db.example:1444/orders");
            assert!(!format!("{parsed:?}").contains("hush"));
        }
    }

    fn refusal(url: &str) -> String {
        let error = url.parse::<SqlServerUrl>().expect_err(url);
        assert!(matches!(error.kind, ErrorKind::Configuration), "{error}");
        let said = format!("{error} {error:?}");
        assert!(!said.contains("hush"), "{said}");
        error.to_string()
    }

    #[test]
    fn a_malformed_address_is_named_without_being_shown() {
        for (url, reason) in [
            ("sqlserver://db.example/orders?password=hush", "it names no user"),
            ("sqlserver://app:hush@db.example:port/orders", "port"),
            ("sqlserver://app:hush%@db.example/orders", "`%`"),
            ("sqlserver://app:half@hush@db.example/orders", "two `@`"),
            ("sqlserver://app:hush@db.example/orders?encrypt=perhaps", "`encrypt`"),
            ("sqlserver://app:hush@db.example/orders?hush=1", "after the `?`"),
            ("server=tcp:db.example,port;user=app;password=hush", "the port"),
            ("server=db.example\\SQLEXPRESS;user=app;password=hush", "an instance needs its port"),
            ("server=localhost:1435;user=app;password=hush", "behind a comma"),
            ("server=np:hush;user=app;password=hush", "only TCP"),
            ("server=a b hush;user=app;password=x", "not the name of a host"),
            ("server=h;user=app;password=a;hush=b", "part 4"),
            ("server=h;user=app", "no password"),
            ("jdbc:sqlserver:hush", "scheme"),
            ("mssql+pyodbc://sa:hush@db.example/app?driver=ODBC", "scheme"),
            ("app:hush@db.example", "scheme"),
            ("hush", "part 1"),
            ("", "no host"),
        ] {
            let said = refusal(url);
            assert!(said.contains(reason), "{url}: {said}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_by_its_name() {
        for (pair, name) in [
            ("Integrated Security=SSPI", "`integratedsecurity`"),
            ("Trusted_Connection=yes", "`trustedconnection`"),
            ("Authentication=Active Directory Default", "`authentication`"),
            ("ApplicationIntent=ReadOnly", "`applicationintent`"),
            ("Failover Partner=hush", "`failoverpartner`"),
            ("TrustServerCertificate=hush", "`trustservercertificate`"),
            ("TrustServerCertificate=1;TrustServerCertificateCA=/hush.pem", "`trustservercertificate`"),
            ("Packet Size=hush", "`packetsize`"),
        ] {
            let said = refusal(&format!("server=h;user=app;password=x;{pair}"));
            assert!(said.contains(name), "{pair}: {said}");
        }
    }

    #[test]
    fn what_the_portals_and_other_tools_write_is_read() {
        for url in [
            "Server=tcp:s.database.windows.net,1433;Initial Catalog=db;Persist Security Info=False;User ID=app;\
             Password={hush};MultipleActiveResultSets=False;Encrypt=True;TrustServerCertificate=False;Connection Timeout=30;",
            "Driver={ODBC Driver 18 for SQL Server};Server=tcp:s.database.windows.net,1433;Database=db;Uid=app;\
             Pwd=\"hush;\";Encrypt=yes;TrustServerCertificate=no;Connection Timeout=30;",
            "jdbc:sqlserver://s.database.windows.net:1433;database=db;user=app@s;password={hush};encrypt=true;\
             trustServerCertificate=false;hostNameInCertificate=*.database.windows.net;loginTimeout=30;",
            "server=s.database.windows.net;user=app;password=Two Words=hush;Encrypt=Mandatory;MultiSubnetFailover=true",
        ] {
            let parsed: SqlServerUrl = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
            let shown = parsed.to_string();
            assert!(shown.starts_with("sqlserver://s.database.windows.net:1433"), "{shown}");
        }
        let local = |url: &str| url.parse::<SqlServerUrl>().expect("is read").to_string();
        assert_eq!(local("server=.,1434;user=a;password=b"), "sqlserver://localhost:1434");
        assert_eq!(local("server=db\\SALES,1435;user=a;password=b"), "sqlserver://db:1435");
    }
}
