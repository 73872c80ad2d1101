//! Sessions with SQL Server, and the [`Engine`](crate::engine::Engine) over them.

mod engine;
mod error;
mod pairs;
mod prints;
#[cfg(feature = "rebuild")]
mod rebuild;
mod script;
mod session;
mod url;
mod value;

pub use self::session::{SqlServer, TdsClient};
pub use self::url::SqlServerUrl;
