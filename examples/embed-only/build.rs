//! Checks and embeds the scripts.

fn main() {
    onward_build::embed("sql");
}
