//! Addresses of SQL Server in each of their forms.

/// The same server, another database.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    if let Some((address, query)) = url.split_once('?') {
        let authority = address.find("://").map_or(0, |at| at + 3);
        let end = address[authority..].find('/').map_or(address.len(), |at| authority + at);
        return format!("{}/{name}?{query}", &address[..end]);
    }
    if url.contains("://") && !url.contains(';') {
        let end = url.rfind('/').filter(|at| !url[..*at].ends_with('/')).unwrap_or(url.len());
        return format!("{}/{name}", &url[..end]);
    }
    let keep = |pair: &&str| {
        let key = pair.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        !["database", "initial catalog", "databasename"].contains(&key.as_str())
    };
    let pairs: Vec<_> = url.split(';').filter(|pair| !pair.trim().is_empty()).filter(keep).collect();
    let key = if url.starts_with("jdbc:") { "databaseName" } else { "database" };
    format!("{};{key}={name}", pairs.join(";"))
}
