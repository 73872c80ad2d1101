//! libpq's grammar of a connection string, in both of its forms.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use percent_encoding::percent_decode_str;

/// One parameter of a connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub keyword: String,
    pub value: String,
}

/// The parameters in their order; a later one of the same keyword counts. A reason never quotes a value.
pub(super) fn parse(text: &str) -> Result<Vec<Parameter>, String> {
    // A secret that comes from a file often ends with a new line.
    let text = text.trim_start().trim_end_matches(['\n', '\r']);
    let scheme = ["postgres://", "postgresql://"].into_iter().find(|scheme| text.starts_with(scheme));
    match scheme {
        Some(scheme) => uri(&text[scheme.len()..]),
        None if text.contains("://") => Err("it begins with another scheme than postgres://".to_owned()),
        None => keywords(text),
    }
}

/// Whether libpq has a parameter of this name; an unknown name may be a part of a password.
pub(super) fn is_keyword(word: &str) -> bool {
    const KEYWORDS: [&str; 48] = [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "oauth_client_id",
        "oauth_client_secret",
        "oauth_issuer",
        "oauth_scope",
        "options",
        "passfile",
        "password",
        "port",
        "replication",
        "require_auth",
        "requirepeer",
        "requiressl",
        "scram_client_key",
        "scram_server_key",
        "service",
        "servicefile",
        "ssl",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslkeylogfile",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
    ];
    KEYWORDS.contains(&word)
        || ["sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout", "user"].contains(&word)
}

/// `[user[:password]@][host[:port][,…]][/dbname][?keyword=value[&…]]`
fn uri(text: &str) -> Result<Vec<Parameter>, String> {
    let mut found = Found::default();
    // As in libpq, an `@` before the first `/` ends the credentials, and a `?` may be part of them.
    let rest = match text.find(['@', '/']) {
        Some(at) if text[at..].starts_with('@') => {
            let (user, password) = text[..at].split_once(':').unwrap_or((&text[..at], ""));
            found.add("user", decoded(user)?);
            found.add("password", decoded(password)?);
            &text[at + 1..]
        }
        _ => text,
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, name) = place.split_once('/').unwrap_or((place, ""));
    if hosts.contains('@') || name.contains('@') {
        return Err("there is a second `@`: write an `@` of the password as %40".to_owned());
    }
    hosts_and_ports(hosts, &mut found)?;
    found.add("dbname", decoded(name)?);
    // As in libpq, the last parameter may end with a `&`.
    let query = query.strip_suffix('&').unwrap_or(query);
    for pair in query.split('&').filter(|_| !query.is_empty()) {
        let (keyword, value) = pair.split_once('=').ok_or("a parameter after the `?` has no value")?;
        if value.contains('=') {
            return Err("a value after the `?` has a `=`: write it as %3D".to_owned());
        }
        found.add(&decoded(keyword)?, decoded(value)?);
    }
    Ok(found.0)
}

fn hosts_and_ports(text: &str, found: &mut Found) -> Result<(), String> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for place in text.split(',').filter(|_| !text.is_empty()) {
        let (host, port) = match place.strip_prefix('[') {
            Some(ipv6) => {
                let (host, port) = ipv6.split_once(']').ok_or("an IPv6 address has no `]`")?;
                (host.to_owned(), port.strip_prefix(':').unwrap_or(port))
            }
            None => {
                let (host, port) = place.split_once(':').unwrap_or((place, ""));
                (decoded(host)?, port)
            }
        };
        if port.parse::<u16>().is_err() && !port.is_empty() {
            return Err("a port is not a number from 1 to 65535".to_owned());
        }
        hosts.push(host);
        ports.push(port);
    }
    found.add("host", hosts.join(","));
    if ports.iter().any(|port| !port.is_empty()) {
        found.add("port", ports.join(","));
    }
    Ok(())
}

/// `keyword = value …`. A value may be in single quotes, and a backslash escapes the next character.
fn keywords(text: &str) -> Result<Vec<Parameter>, String> {
    let mut found = Found::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_ascii_whitespace())
            .ok_or("a word is not followed by `=`")?;
        let (keyword, after) = rest.split_at(end);
        let after = after.trim_start().strip_prefix('=').ok_or("a word is not followed by `=`")?.trim_start();
        let (value, after) = value(after)?;
        found.add(keyword, value);
        rest = after.trim_start();
    }
    Ok(found.0)
}

fn value(text: &str) -> Result<(String, &str), String> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            white if white.is_ascii_whitespace() && !quoted => return Ok((value, &body[at..])),
            other => value.push(other),
        }
    }
    if quoted { Err("a quoted value has no closing quote".to_owned()) } else { Ok((value, "")) }
}

#[derive(Default)]
struct Found(Vec<Parameter>);

impl Found {
    /// Replaces an earlier value of the same keyword; an empty value is none.
    fn add(&mut self, keyword: &str, value: String) {
        self.0.retain(|parameter| parameter.keyword != keyword);
        // One that is not known stays, to be refused.
        if !value.is_empty() || !is_keyword(keyword) {
            self.0.push(Parameter { keyword: keyword.to_owned(), value });
        }
    }
}

/// Undoes percent-encoding, as strictly as libpq does.
fn decoded(text: &str) -> Result<String, String> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('%') {
        if !is_hex(bytes.get(at + 1)) || !is_hex(bytes.get(at + 2)) {
            return Err(
                "a `%` is not followed by two hexadecimal digits: write a percent sign as %25".to_owned()
            );
        }
        if &bytes[at + 1..at + 3] == b"00" {
            return Err("`%00` is not a character".to_owned());
        }
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| "a value in percent encoding is not UTF-8".to_owned())
}
