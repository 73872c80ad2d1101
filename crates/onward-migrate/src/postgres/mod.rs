//! Sessions with PostgreSQL, and the [`Engine`](crate::engine::Engine) over them.

mod catalog;
mod conninfo;
mod engine;
mod error;
mod invalid_index;
mod objects;
mod place;
mod quote;
#[cfg(feature = "rebuild")]
mod rebuild;
mod script;
mod session;
mod tls;
mod together;
mod url;
mod view;
mod wording;

pub use self::session::Postgres;
pub use self::tls::tls_connector;
pub use self::url::{PostgresUrl, TlsMode};
