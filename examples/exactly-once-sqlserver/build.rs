//! Checks and embeds the scripts in `sql/`.

use onward_build::Dialect;

fn main() {
    onward_build::configure().dialect(Dialect::SqlServer).embed("sql");
}
