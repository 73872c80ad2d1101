use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use onward_migrate::{PostgresUrl, tls_connector};

use crate::exit::{Exit, Failed};

/// A pool of PostgreSQL connections for handlers.
pub type PgPool = Pool;

/// A pool that opens its connections when they are first needed.
pub(crate) fn pool(url: &PostgresUrl, app: &str, size: usize) -> Result<PgPool, Failed> {
    let mut config = url.driver_config();
    config.application_name(app);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config, tls_connector(url)?, recycling);
    Pool::builder(manager)
        .max_size(size)
        .build()
        .map_err(|error| Failed::new(Exit::Failed, error, "this is a fault of the product; please report it"))
}
