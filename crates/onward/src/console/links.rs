use url::form_urlencoded::Serializer;

/// A page of the dead letters of a queue.
pub(super) fn link(name: &str, page: &str, query: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(query).finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/console/dead/{name}{page}{mark}{query}")
}
