use onward_migrate::Applier;

/// The app's name and version: for the journal, for the server's list of sessions, for dead letters.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub name: String,
    pub version: String,
}

impl Identity {
    /// The applier of scripts, for the journal.
    pub(crate) fn applier(&self) -> Applier {
        Applier { host: host_name(), app_version: self.version.clone() }
    }
}

/// The name of this host: `HOSTNAME` if a container or a person has set it, else the system's name.
pub(crate) fn host_name() -> String {
    let set = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let computer = || std::env::var("COMPUTERNAME").ok().filter(|_| cfg!(windows));
    set.or_else(onward_migrate::host_name).or_else(computer).unwrap_or_else(|| "unknown".to_owned())
}
