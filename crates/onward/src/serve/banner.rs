use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::process::exit::CommandError;
use crate::process::terminal::data;
use crate::serve::gate::Passed;

/// Shows what a development launch has started, and what to do next.
pub(crate) fn show(
    Context { identity, .. }: &Context,
    database: &ResolvedDatabase,
    passed: Passed,
    queue_urls: &[String],
    example: Option<&str>,
) -> Result<(), CommandError> {
    let before = passed.before.map_or_else(|| "empty".to_owned(), |before| before.to_string());
    let schema = match passed.before {
        Some(before) if before == passed.now => format!("{before}, current"),
        _ => format!("{before} → {}", passed.now),
    };
    let mut lines = vec![
        format!("{} {} in development", identity.name, identity.version),
        String::new(),
        format!("  database  {}", database.url),
        format!("  schema    {schema}"),
    ];
    lines.extend(queue_urls.iter().map(|url| format!("  queue     {url}")));
    lines.push(String::new());
    if let Some(client) = &database.client {
        lines.extend(["Look into the database:".to_owned(), format!("  {client}"), String::new()]);
    }
    if let Some(example) = example {
        lines.extend([
            "Send a first message from a second terminal:".to_owned(),
            format!("  cargo run -- queue send '{example}'"),
            String::new(),
        ]);
    }
    data(&lines.join("\n"))
}
