use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use onward_script::Digest;
use subtle::ConstantTimeEq as _;

use crate::process::exit::CommandError;

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// How many tokens may be tried within a minute, by all together.
const TRIES: NonZeroU32 = NonZeroU32::new(10).expect("is not zero");

/// The most sessions; the oldest one ends where there are more.
const MOST: usize = 1_000;

/// Those who have shown the token.
#[derive(Debug)]
pub(super) struct Sessions {
    all: Mutex<HashMap<String, Session>>,
    tries: DefaultDirectRateLimiter,
}

/// The right of one browser to act.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// What each form must bring along, so that no other site can send it.
    pub csrf: String,
    /// What the log calls it.
    pub name: String,
    ends: Instant,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Wrong,
    TooMany,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { all: Mutex::default(), tries: RateLimiter::direct(Quota::per_minute(TRIES)) }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session if the token is right. Returns the value of its cookie.
    pub(super) fn begin(&self, token: &str, expected: Digest) -> Result<String, Refused> {
        if self.tries.check().is_err() {
            return Err(Refused::TooMany);
        }
        let is_right: bool = Digest::of(token.as_bytes()).0.ct_eq(&expected.0).into();
        if !is_right {
            return Err(Refused::Wrong);
        }
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
        all.insert(key(&cookie), Session { csrf, name, ends: Instant::now() + LIFETIME });
        Ok(cookie)
    }

    /// The session of a cookie, unless it has ended.
    pub(super) fn of(&self, cookie: &str) -> Option<Session> {
        self.all().get(&key(cookie)).filter(|session| session.ends > Instant::now()).cloned()
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
        let (sessions, token) = (Sessions::new(), Digest::of(b"a long enough token"));
        for _ in 0..9 {
            assert_eq!(sessions.begin("a wrong one", token), Err(Refused::Wrong));
        }
        let cookie = sessions.begin("a long enough token", token).expect("is right");
        assert_eq!(sessions.begin("a long enough token", token), Err(Refused::TooMany));
        let session = sessions.of(&cookie).expect("has begun");
        assert!(session.made(&session.csrf) && !session.made("") && !session.made(&cookie));
        assert!(sessions.of("another").is_none());
        sessions.end(&cookie);
        assert!(sessions.of(&cookie).is_none());
    }
}
