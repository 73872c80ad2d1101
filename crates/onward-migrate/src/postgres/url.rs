use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding, Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs,
};

use super::conninfo::{self, Parameter};
use crate::error::{Error, ErrorKind};

/// How to encrypt a connection, in the words of libpq's `sslmode`.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it; the certificate is not checked.
    #[default]
    Prefer,
    /// Always; the certificate is checked only if `sslrootcert` is given.
    Require,
    /// Always, with a certificate of a trusted authority.
    VerifyCa,
    /// Always, with a certificate of a trusted authority for exactly this host.
    VerifyFull,
}

/// A PostgreSQL address, as libpq reads it: `postgres://user:password@host:5432/name?sslmode=verify-full`, or the form
/// `host=… dbname=…`. It never shows its password.
///
/// A parameter of libpq that this driver does not support is an error that names it; none is ignored.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
///
/// ```
/// use onward_migrate::PostgresUrl;
///
/// let url: PostgresUrl = "host=db.example user=app password='two words' dbname=shop".parse().unwrap();
/// assert_eq!(url.to_string(), "postgres://app@db.example/shop");
///
/// let error = "postgres://app@db.example/shop?service=main".parse::<PostgresUrl>().unwrap_err();
/// assert!(error.to_string().contains("`service`"));
/// ```
#[derive(Clone)]
pub struct PostgresUrl {
    config: Config,
    pub(super) tls: Tls,
}

/// What the address says about encryption.
#[derive(Debug, Clone, Default)]
pub(super) struct Tls {
    pub mode: TlsMode,
    pub root_certificate: Option<PathBuf>,
    pub client_certificate: Option<ClientCertificate>,
}

/// The files of a client's certificate and of its key.
#[derive(Debug, Clone)]
pub(super) struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl FromStr for PostgresUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let parameters = conninfo::parse(url).map_err(|reason| malformed(&reason))?;
        let mut address = Address::default();
        for Parameter { keyword, value } in &parameters {
            address.set(keyword, value)?;
        }
        address.finish()
    }
}

/// The reason never quotes the address, which may hold a password.
fn malformed(reason: &str) -> Error {
    let message = format!("DATABASE_URL cannot be read as a PostgreSQL address: {reason}");
    let help = "write it as postgres://USER:PASSWORD@HOST:5432/NAME, with special characters of the password in percent \
                encoding (`@` is %40), or as host=HOST dbname=NAME user=USER password='PASSWORD'";
    Error::new(ErrorKind::Configuration, message, help)
}

/// An address while its parameters are read.
#[derive(Default)]
struct Address {
    config: Config,
    mode: Option<TlsMode>,
    uses_system_roots: bool,
    root_certificate: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Address {
    /// Sets one parameter; a parameter that the driver does not support is an error.
    fn set(&mut self, keyword: &str, value: &str) -> Result<(), Error> {
        let is_known = self.set_place(keyword, value)?
            || self.set_network(keyword, value)?
            || self.set_encryption(keyword, value)?
            || is_default(keyword, value);
        if is_known { Ok(()) } else { Err(unsupported(keyword)) }
    }

    fn set_place(&mut self, keyword: &str, value: &str) -> Result<bool, Error> {
        let config = &mut self.config;
        match keyword {
            "user" => config.user(value),
            "password" => config.password(value),
            "dbname" => config.dbname(value),
            "options" => config.options(value),
            "application_name" => config.application_name(value),
            "fallback_application_name" if config.get_application_name().is_none() => {
                config.application_name(value)
            }
            "fallback_application_name" => config,
            "host" => value.split(',').fold(config, |config, host| config.host(host)),
            "hostaddr" => {
                for address in value.split(',') {
                    config.hostaddr(address.parse().map_err(|_| wrong(keyword, "an IP address"))?);
                }
                config
            }
            "port" => {
                for port in value.split(',') {
                    let port = if port.is_empty() { Ok(5432) } else { port.parse() };
                    config.port(port.map_err(|_| wrong(keyword, "a number from 1 to 65535"))?);
                }
                config
            }
            _ => return Ok(false),
        };
        Ok(true)
    }

    fn set_network(&mut self, keyword: &str, value: &str) -> Result<bool, Error> {
        let config = &mut self.config;
        let number = || value.parse().map_err(|_| wrong(keyword, "a number"));
        match keyword {
            "connect_timeout" => config.connect_timeout(seconds(keyword, value)?),
            "tcp_user_timeout" => {
                let ms = value.parse().map_err(|_| wrong(keyword, "a number of milliseconds"))?;
                config.tcp_user_timeout(Duration::from_millis(ms))
            }
            "keepalives" => config.keepalives(number()? != 0),
            "keepalives_idle" => config.keepalives_idle(seconds(keyword, value)?),
            "keepalives_interval" => config.keepalives_interval(seconds(keyword, value)?),
            "keepalives_count" => config.keepalives_retries(number()?),
            "target_session_attrs" => config.target_session_attrs(match value {
                "any" => TargetSessionAttrs::Any,
                "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
                "read-only" | "standby" => TargetSessionAttrs::ReadOnly,
                _ => return Err(wrong(keyword, "any, read-write, read-only, primary or standby")),
            }),
            "load_balance_hosts" => config.load_balance_hosts(match value {
                "disable" => LoadBalanceHosts::Disable,
                "random" => LoadBalanceHosts::Random,
                _ => return Err(wrong(keyword, "disable or random")),
            }),
            _ => return Ok(false),
        };
        Ok(true)
    }

    fn set_encryption(&mut self, keyword: &str, value: &str) -> Result<bool, Error> {
        match keyword {
            "channel_binding" => {
                self.config.channel_binding(match value {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return Err(wrong(keyword, "disable, prefer or require")),
                });
            }
            "sslnegotiation" => {
                self.config.ssl_negotiation(match value {
                    "postgres" => SslNegotiation::Postgres,
                    "direct" => SslNegotiation::Direct,
                    _ => return Err(wrong(keyword, "postgres or direct")),
                });
            }
            "sslmode" => self.mode = Some(TlsMode::parse(value)?),
            // `requiressl` came before `sslmode`; JDBC has `ssl`.
            "ssl" | "requiressl" if ["true", "1"].contains(&value) => {
                self.mode = self.mode.max(Some(TlsMode::Require));
            }
            "sslrootcert" if value == "system" => self.uses_system_roots = true,
            "sslrootcert" => self.root_certificate = Some(PathBuf::from(value)),
            "sslcert" => self.certificate = Some(PathBuf::from(value)),
            "sslkey" => self.key = Some(PathBuf::from(value)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<PostgresUrl, Error> {
        let client_certificate = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            _ => return Err(malformed("`sslcert` and `sslkey` need each other")),
        };
        // As in libpq: the system's authorities certify every host of the world, so the name is checked too.
        let mode = match self.mode {
            Some(mode) if self.uses_system_roots && mode < TlsMode::VerifyFull => {
                return Err(wrong("sslmode", "verify-full with `sslrootcert=system`"));
            }
            Some(mode) => mode,
            None if self.uses_system_roots => TlsMode::VerifyFull,
            None => TlsMode::default(),
        };
        self.config.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let (hosts, ports) = (self.config.get_hosts().len(), self.config.get_ports().len());
        if ports > 1 && ports != hosts.max(self.config.get_hostaddrs().len()) {
            return Err(malformed("the number of ports differs from the number of hosts"));
        }
        if hosts == 0 && self.config.get_hostaddrs().is_empty() {
            return Err(malformed("it names no host"));
        }
        let tls = Tls { mode, root_certificate: self.root_certificate, client_certificate };
        Ok(PostgresUrl { config: self.config, tls })
    }
}

/// Whether a parameter asks for what this driver always does.
fn is_default(keyword: &str, value: &str) -> bool {
    match keyword {
        "client_encoding" => ["utf8", "utf-8", "auto"].contains(&value.to_ascii_lowercase().as_str()),
        "gssencmode" => ["disable", "prefer"].contains(&value),
        "sslsni" => value == "1",
        "sslcompression" => value == "0",
        _ => false,
    }
}

fn seconds(keyword: &str, value: &str) -> Result<Duration, Error> {
    value.parse().map(Duration::from_secs).map_err(|_| wrong(keyword, "a number of seconds"))
}

fn wrong(keyword: &str, range: &str) -> Error {
    let message = format!("DATABASE_URL: `{keyword}` must be {range}");
    Error::new(ErrorKind::Configuration, message, "correct it in DATABASE_URL")
}

/// Only the keyword is shown: the value may be a password at the wrong place.
fn unsupported(keyword: &str) -> Error {
    let help = match keyword {
        "service" | "servicefile" | "passfile" => {
            "Onward reads no file of libpq: write host, name, user and password into DATABASE_URL"
        }
        _ => "remove it from DATABASE_URL, or correct its value",
    };
    let message = if conninfo::is_keyword(keyword) {
        format!("DATABASE_URL: `{keyword}` with this value is not supported")
    } else {
        "DATABASE_URL has a parameter that libpq does not know".to_owned()
    };
    Error::new(ErrorKind::Configuration, message, help)
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

impl fmt::Display for PostgresUrl {
    /// The address without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        let host = |(index, host): (usize, &Host)| match ports.get(index).or_else(|| ports.first()) {
            Some(port) => format!("{}:{port}", host_name(host)),
            None => host_name(host),
        };
        let hosts: Vec<_> = self.config.get_hosts().iter().enumerate().map(host).collect();
        write!(f, "{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

impl PostgresUrl {
    /// The name of the database, if the address has one.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.config.get_dbname()
    }

    /// Another database on the same server.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(name);
        other
    }

    /// The driver's configuration, for a connection pool; it holds the password.
    #[must_use]
    pub fn driver_config(&self) -> Config {
        self.config.clone()
    }
}

impl TlsMode {
    fn parse(word: &str) -> Result<Self, Error> {
        Ok(match word {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err(wrong("sslmode", "disable, prefer, require, verify-ca or verify-full")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> PostgresUrl {
        url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn an_address_never_shows_its_password() {
        for url in [
            "postgres://app:hush%40@db.example:5433/orders?sslmode=verify-full&connect_timeout=3",
            "host=db.example port=5433 user=app password=hush dbname=orders sslmode=verify-full",
            "postgresql://db.example:5433/orders?user=app&password=hush&sslmode=verify-full",
        ] {
            let url = parsed(url);
            assert_eq!(url.to_string(), "postgres://app@db.example:5433/orders");
            assert!(!format!("{url:?}").contains("hush"));
            assert_eq!(url.tls.mode, TlsMode::VerifyFull);
        }
    }

    #[test]
    fn the_requested_encryption_is_never_weakened() {
        for (url, mode) in [
            ("host=h sslmode = require", TlsMode::Require),
            ("host=h sslmode='verify-full'", TlsMode::VerifyFull),
            ("postgres://app:p?w@h/app?sslmode=require", TlsMode::Require),
            ("postgres://app@h/app?sslmode=verify%2Dca", TlsMode::VerifyCa),
            ("postgres://app@h/app?sslrootcert=system", TlsMode::VerifyFull),
            ("postgres://app@h/app?ssl=true", TlsMode::Require),
            ("postgres://app@h/app", TlsMode::Prefer),
        ] {
            assert_eq!(parsed(url).tls.mode, mode, "{url}");
        }
        assert!("postgres://h/app?sslrootcert=system&sslmode=require".parse::<PostgresUrl>().is_err());
    }

    #[test]
    fn a_value_arrives_as_it_was_written() {
        let password = |url: &str| parsed(url).config.get_password().map(<[u8]>::to_vec);
        assert_eq!(password("host=h password='a  b'").as_deref(), Some(b"a  b".as_slice()));
        assert_eq!(password(r"host=h password='it\'s \\'").as_deref(), Some(br"it's \".as_slice()));
        assert_eq!(password("postgres://app:p?w@h/app").as_deref(), Some(b"p?w".as_slice()));
        let root = parsed("postgres://h/app?sslrootcert=%2Fca%20files%2Fca.pem").tls.root_certificate;
        assert_eq!(root, Some(PathBuf::from("/ca files/ca.pem")));
    }

    #[test]
    fn several_hosts_ipv6_and_sockets_are_read() {
        assert_eq!(parsed("postgres://a:1,b:2/app").to_string(), "postgres://a:1,b:2/app");
        assert_eq!(parsed("postgres://app@[::1]:5433/app").to_string(), "postgres://app@[::1]:5433/app");
        #[cfg(unix)]
        assert_eq!(parsed("postgres://app@%2Fvar%2Frun/app").to_string(), "postgres://app@/var/run/app");
    }

    #[test]
    fn a_malformed_address_is_named_without_being_shown() {
        for url in [
            "postgres://app:hush@db:notaport/x",
            "postgres://a:hush@h/x?sslmode=always",
            "postgres://app:half@hush@db.example/x",
            "postgres://app:100%hush@db.example/x",
            "postgres://h/x?hush=1",
            "host=h password='hush",
            "host=h hush",
            "hush",
            "",
        ] {
            let error = url.parse::<PostgresUrl>().expect_err("is malformed");
            assert!(matches!(error.kind, ErrorKind::Configuration));
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[test]
    fn an_unsupported_parameter_is_refused_by_its_name() {
        for parameter in ["service", "passfile", "requirepeer", "gssencmode", "sslcrl", "require_auth"] {
            let error = format!("host=h {parameter}=require").parse::<PostgresUrl>().expect_err("is refused");
            assert!(error.to_string().contains(&format!("`{parameter}`")), "{error}");
        }
    }
}
