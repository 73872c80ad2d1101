/// The database that the scripts are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// PostgreSQL 12 and later.
    #[default]
    Postgres,
    /// SQL Server 2016 and later, Azure SQL.
    SqlServer,
}

impl Dialect {
    /// The word for it in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::SqlServer => "sqlserver",
        }
    }
}
