//! Addresses are read as libpq reads them: `psql` and the driver connect to a server that writes down what they say.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use onward_migrate::{PostgresUrl, tls_connector};

/// How many addresses are tried.
const ADDRESSES: usize = 400;

/// What a client says before the server knows who it is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    asks_for_tls: bool,
    /// Parameters of the session, and the password.
    parameters: BTreeMap<String, String>,
}

/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
const TLS_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// A server without TLS that asks for the password in plain text, and then refuses it.
fn serve(listener: &TcpListener, said: &Sender<Said>) -> std::io::Result<()> {
    loop {
        let (mut client, _) = listener.accept()?;
        let mut heard = Said::default();
        // A client that will not go on in plain text ends the connection.
        if let Err(error) = hear(&mut client, &mut heard)
            && error.kind() != std::io::ErrorKind::UnexpectedEof
        {
            return Err(error);
        }
        if said.send(heard).is_err() {
            return Ok(());
        }
    }
}

fn hear(client: &mut TcpStream, heard: &mut Said) -> std::io::Result<()> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().expect("are four bytes"));
    let startup = loop {
        let message = sized(client)?;
        match number(&message) {
            TLS_REQUEST => heard.asks_for_tls = true,
            GSS_REQUEST => {}
            _ => break message,
        }
        client.write_all(b"N")?;
    };
    let text = String::from_utf8_lossy(&startup[4..]).into_owned();
    let mut words = text.split('\0');
    while let (Some(name), Some(value)) = (words.next().filter(|name| !name.is_empty()), words.next()) {
        heard.parameters.insert(name.to_owned(), value.to_owned());
    }
    client.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
    client.read_exact(&mut [0])?;
    let password = sized(client)?;
    let password = String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned();
    heard.parameters.insert("password".to_owned(), password);
    let fields = b"SFATAL\0C28P01\0Mno\0\0";
    let length = u32::try_from(fields.len() + 4).expect("is short").to_be_bytes();
    client.write_all(&[b"E", &length[..], fields].concat())
}

/// The body of a message behind its length.
fn sized(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut body)?;
    Ok(body)
}

struct Server {
    port: u16,
    said: Receiver<Said>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("is bound").port();
        let (sender, said) = channel();
        thread::spawn(move || serve(&listener, &sender).expect("no call fails"));
        Self { port, said }
    }

    /// What was said since the last call. The connections have ended, so a last one of our own says when all is heard.
    fn heard(&self) -> Option<Said> {
        drop(TcpStream::connect(("127.0.0.1", self.port)).expect("listens"));
        let mut all = Vec::new();
        loop {
            let said = self.said.recv().expect("the server lives");
            if said == Said::default() {
                return all.into_iter().rev().find(|said: &Said| !said.parameters.is_empty()).or(None);
            }
            all.push(said);
        }
    }

    /// What psql says for an address; none if it says nothing in plain text.
    fn by_psql(&self, address: &str) -> Option<Said> {
        let mut psql = Command::new("psql");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            psql.env_remove(name);
        }
        psql.args(["-X", "-w", "-d", address]).env("HOME", "/nonexistent");
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        psql.status().expect("psql is installed");
        self.heard()
    }

    /// What the driver says for it; none if the address is refused.
    async fn by_us(&self, address: &str) -> Option<Said> {
        let url: PostgresUrl = address.parse().ok()?;
        let connected = url.driver_config().connect(tls_connector(&url).expect("has no files")).await;
        assert!(connected.is_err(), "the server refuses everybody");
        self.heard()
    }
}

/// Addresses of both forms, with what a hand writes around and into their values.
fn address(random: &mut fastrand::Rng, port: u16) -> String {
    let pick = |random: &mut fastrand::Rng, all: &[&'static str]| all[random.usize(..all.len())];
    let piece = |random: &mut fastrand::Rng| -> String {
        let pieces = [
            "a", "b7", "X", " ", "  ", "'", "\\", "\\'", "=", "%", "%20", "%4a", "%zz", "+", "&", "?", "#",
            ":", "ü", "\t", "/", "@", ",",
        ];
        (0..random.usize(1..5)).map(|_| pick(random, &pieces)).collect()
    };
    if random.bool() {
        let quoted = |random: &mut fastrand::Rng, text: String| match random.u8(..4) {
            0 => text,
            1 => format!("'{text}'"),
            _ => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        };
        let mut pairs = vec![
            format!("host=127.0.0.1 port{}{port}", pick(random, &["=", " = ", "= "])),
            "dbname=shop".to_owned(),
        ];
        for keyword in ["user", "password", "application_name", "options"] {
            if random.u8(..4) > 0 {
                let value = piece(random);
                let value = quoted(random, value);
                let equals = pick(random, &["=", "=", " =", "= ", " = "]);
                pairs.push(format!("{keyword}{equals}{value}"));
            }
        }
        if random.bool() {
            pairs.push(format!(
                "sslmode={}",
                pick(random, &["disable", "prefer", "require", "'prefer'", "Prefer", "on"])
            ));
        }
        random.shuffle(&mut pairs);
        pairs.join(pick(random, &[" ", "  ", "\t", "\n"]))
    } else {
        let scheme = pick(random, &["postgres://", "postgresql://", "postgres://"]);
        let credentials = match random.u8(..3) {
            0 => format!("{}@", piece(random)),
            1 => format!("{}:{}@", piece(random), piece(random)),
            _ => String::new(),
        };
        let mut query: Vec<_> = ["user", "password", "application_name"]
            .into_iter()
            .filter(|_| random.u8(..3) == 0)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|keyword| format!("{keyword}={}", piece(random)))
            .collect();
        if random.u8(..3) == 0 {
            query.push(format!("sslmode={}", pick(random, &["disable", "prefer", "require", "%70refer"])));
        }
        let question = if query.is_empty() { "" } else { "?" };
        format!("{scheme}{credentials}127.0.0.1:{port}/shop{question}{}", query.join("&"))
    }
}

#[tokio::test]
async fn an_address_says_to_the_driver_what_it_says_to_libpq() {
    let server = Server::start();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut alike, mut both_refuse, mut stricter) = (0, 0, Vec::new());
    for _ in 0..ADDRESSES {
        let address = address(&mut random, server.port);
        match (server.by_psql(&address), server.by_us(&address).await) {
            (None, None) => both_refuse += 1,
            (None, Some(ours)) => panic!("libpq refuses {address:?}, and we say {ours:?}"),
            (Some(libpq), None) => stricter.push((address, libpq)),
            (Some(libpq), Some(ours)) => {
                // libpq takes the user's name for the database; a migration refuses that.
                let named = ours.parameters.contains_key("database");
                let names = ["user", "password", "options"].into_iter().chain(named.then_some("database"));
                for name in names {
                    let (libpq, ours) = (libpq.parameters.get(name), ours.parameters.get(name));
                    assert_eq!(ours, libpq, "{name} of {address:?}");
                }
                // psql has a name of its own for an address without one.
                let name = "application_name";
                let libpq_name = libpq.parameters.get(name).filter(|name| *name != "psql");
                assert_eq!(ours.parameters.get(name), libpq_name, "{name} of {address:?}");
                assert_eq!(ours.asks_for_tls, libpq.asks_for_tls, "TLS of {address:?}");
                alike += 1;
            }
        }
    }
    // The driver takes only UTF-8, which libpq leaves to the server.
    stricter.retain(|(address, _)| !address.contains("%b7"));
    assert!(stricter.is_empty(), "refused by us only: {stricter:#?}");
    assert!(
        alike > ADDRESSES / 3 && both_refuse > ADDRESSES / 10,
        "{alike} alike, {both_refuse} refused by both"
    );
}
