//! For an app's own tests: a database for each test, handlers by a call, the whole app on free ports, and the check of the scripts.
//!
//! ```ignore
//! #[test]
//! fn the_scripts_are_sound() {
//!     onward::testing::verify(&onward::scripts!());
//! }
//!
//! #[onward::test]
//! async fn an_order_becomes_an_invoice(db: TestDb) {
//!     let app = TestApp::new(app(), &db).await;
//!     let handled = app.handle(&ORDERS, &Order { number: 7 }).await;
//!     assert_eq!(handled.outcome, Ok(()));
//!     assert_eq!(handled.sent_to(&INVOICES), [Order { number: 7 }]);
//! }
//! ```

mod app;
mod database;
mod queues;
mod run;
mod running;
mod verify;

pub use self::app::{Handled, SentMessage, TestApp};
pub use self::database::TestDb;
pub use self::queues::DeadLetter;
pub use self::run::run;
pub use self::running::RunningApp;
pub use self::verify::verify;
