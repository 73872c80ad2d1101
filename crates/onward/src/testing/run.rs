use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt as _;
use onward_worker::Failure;

use crate::handler::errors::judged;
use crate::process::install_tls;
use crate::process::terminal::note;
use crate::scripts::Scripts;
use crate::testing::database::TestDb;

/// Runs an async test with a database of its own. `#[onward::test]` calls it.
///
/// The database is dropped when the test has passed. After a failure it stays until the same test runs again, and the output says
/// how to look into it.
///
/// # Panics
///
/// If the test fails, or no database can be made for it.
pub fn run<Fut: Future<Output: Ended>>(scripts: &Scripts, name: &str, test: impl FnOnce(TestDb) -> Fut) {
    install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    runtime.block_on(async {
        let db = TestDb::create(scripts, name).await.unwrap_or_else(|error| panic!("{error}"));
        let ended = AssertUnwindSafe(test(db.clone())).catch_unwind().await;
        match ended.map(Ended::error) {
            Ok(None) => {
                if let Err(error) = db.drop_it().await {
                    panic!("the test has passed, and its database cannot be dropped: {error}");
                }
            }
            Ok(Some(error)) => {
                note(&db.where_it_is());
                panic!("{error}");
            }
            Err(panic) => {
                note(&db.where_it_is());
                resume_unwind(panic);
            }
        }
    });
}

/// What a test returns: nothing, or an error with its causes.
pub trait Ended {
    /// The error, if the test has failed.
    fn error(self) -> Option<String>;
}

impl Ended for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<E: Into<Failure>> Ended for Result<(), E> {
    fn error(self) -> Option<String> {
        self.err().map(|error| judged(error.into(), None).reason)
    }
}
