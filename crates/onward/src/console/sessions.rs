use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onward_script::Digest;
use subtle::ConstantTimeEq as _;

use crate::process::exit::CommandError;

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// How many wrong tokens an address may try within [`WINDOW`]. Then it must wait, also with the right one.
const TRIES: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Of how many addresses the tries are known; more than these together are one.
const MOST_ADDRESSES: usize = 10_000;

/// The most sessions; the oldest one ends where there are more.
const MOST: usize = 1_000;

/// Those who have shown the token.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: Mutex<HashMap<String, Session>>,
    /// The wrong tokens of each address within the window.
    wrong: Mutex<HashMap<IpAddr, Vec<Instant>>>,
}

/// The right of one browser to act.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// What each form must bring along, so that no other site can send it.
    pub csrf: String,
    /// What the log calls it.
    pub name: String,
    key: String,
    ends: Instant,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Wrong,
    TooMany,
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session if the token is right. Returns the value of its cookie.
    pub(super) fn begin(&self, from: IpAddr, token: &str, expected: Digest) -> Result<String, Refused> {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, tries| {
            tries.retain(|tried| tried.elapsed() < WINDOW);
            !tries.is_empty()
        });
        let from = if wrong.len() < MOST_ADDRESSES { from } else { IpAddr::from([0, 0, 0, 0]) };
        if wrong.get(&from).is_some_and(|tries| tries.len() >= TRIES) {
            return Err(Refused::TooMany);
        }
        let is_right: bool = Digest::of(token.as_bytes()).0.ct_eq(&expected.0).into();
        if !is_right {
            wrong.entry(from).or_default().push(Instant::now());
            return Err(Refused::Wrong);
        }
        drop(wrong);
        let (Ok(cookie), Ok(csrf)) = (random(), random()) else { return Err(Refused::Wrong) };
        let name = cookie.chars().take(6).collect();
        let mut all = self.all();
        all.retain(|_, session| session.ends > Instant::now());
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, session)| session.ends)
        {
            let oldest = oldest.0.clone();
            all.remove(&oldest);
        }
        // The map has the digest, so that no timing tells anything of a cookie.
        let key = key(&cookie);
        all.insert(key.clone(), Session { csrf, name, key, ends: Instant::now() + LIFETIME });
        Ok(cookie)
    }

    /// The session of a cookie, unless it has ended.
    pub(super) fn of(&self, cookie: &str) -> Option<Session> {
        self.with(&key(cookie))
    }

    fn with(&self, key: &str) -> Option<Session> {
        self.all().get(key).filter(|session| session.ends > Instant::now()).cloned()
    }

    /// Whether a session goes on.
    pub(super) fn holds(&self, session: &Session) -> bool {
        self.with(&session.key).is_some()
    }

    pub(super) fn end(&self, cookie: &str) {
        self.all().remove(&key(cookie));
    }
}

impl Session {
    /// Whether a form was made for this session.
    pub(super) fn made(&self, csrf: &str) -> bool {
        self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into()
    }
}

fn key(cookie: &str) -> String {
    Digest::of(cookie.as_bytes()).to_string()
}

/// 128 random bits of the system, in hexadecimal digits.
pub(super) fn random() -> Result<String, CommandError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(CommandError::fault)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_needs_the_token_and_tries_are_counted() {
        let (sessions, token) = (Sessions::default(), Digest::of(b"a long enough token"));
        let (attacker, owner) = (IpAddr::from([203, 0, 113, 9]), IpAddr::from([127, 0, 0, 1]));
        for _ in 0..TRIES {
            assert_eq!(sessions.begin(attacker, "a wrong one", token), Err(Refused::Wrong));
        }
        assert_eq!(sessions.begin(attacker, "a long enough token", token), Err(Refused::TooMany));
        for _ in 0..2 * TRIES {
            sessions.begin(owner, "a long enough token", token).expect("the right one counts as no try");
        }
        let cookie = sessions.begin(owner, "a long enough token", token).expect("is right");
        let session = sessions.of(&cookie).expect("has begun");
        assert!(session.made(&session.csrf) && !session.made("") && !session.made(&cookie));
        assert!(sessions.holds(&session));
        assert!(sessions.of("another").is_none());
        sessions.end(&cookie);
        assert!(!sessions.holds(&session));
        assert!(sessions.of(&cookie).is_none());
    }
}
