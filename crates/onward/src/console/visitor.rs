use std::net::IpAddr;

use crate::console::sessions::Session;

/// Who makes a request.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub from: IpAddr,
    /// Who may act.
    pub session: Option<Session>,
}

impl Visitor {
    /// Its name for the log.
    pub(super) fn name(&self) -> String {
        let session = self.session.as_ref().map_or("nobody", |session| session.name.as_str());
        format!("{session} from {}", self.from)
    }
}
