//! Who a host says it is.

use tripline_protocol::frame::{AgentFrame, Hello};
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, IsolationReport};
use uuid::Uuid;

/// A host's name, its operating system, and what it can do.
#[derive(Debug, Clone)]
pub(crate) struct Persona {
    pub(super) hostname: String,
    pub(super) is_windows: bool,
    verbs: Vec<Verb>,
}

/// Verbs that a host without a registry does not have.
const WINDOWS_ONLY: &[Verb] = &[
    Verb::GetRawFile,
    Verb::Memdump,
    Verb::ListRegistryKeysAndValues,
    Verb::ListRegistryKeys,
    Verb::GetRegistryValue,
    Verb::SetRegistryValue,
    Verb::CreateRegistryKey,
    Verb::DeleteRegistryKey,
    Verb::DeleteRegistryValue,
];

impl Persona {
    /// A Windows host with every verb: errors are numbers, paths have backslashes and no case.
    pub(crate) fn windows(hostname: &str) -> Self {
        Self {
            hostname: hostname.to_owned(),
            is_windows: true,
            verbs: Verb::ALL.to_vec(),
        }
    }

    /// A Linux host with the verbs that the real agent has there.
    pub(crate) fn linux(hostname: &str) -> Self {
        let verbs = Verb::ALL.iter().filter(|verb| !WINDOWS_ONLY.contains(verb));
        Self {
            hostname: hostname.to_owned(),
            is_windows: false,
            verbs: verbs.copied().collect(),
        }
    }

    /// The same with these verbs only.
    pub(crate) fn with_verbs(mut self, verbs: &[Verb]) -> Self {
        self.verbs = verbs.to_vec();
        self
    }

    pub(super) fn platform(&self) -> &'static str {
        if self.is_windows { "windows" } else { "linux" }
    }

    pub(super) fn has(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// The first frame of a connection.
    pub(super) fn hello(
        &self,
        journal_id: Uuid,
        running: Vec<CommandId>,
        finished: Vec<CommandId>,
        isolation: Option<IsolationReport>,
    ) -> AgentFrame {
        let os_version = if self.is_windows {
            "Windows 11"
        } else {
            "Debian GNU/Linux 12"
        };
        AgentFrame::Hello(Box::new(Hello {
            agent_version: "scripted".to_owned(),
            hostname: self.hostname.clone(),
            platform: self.platform().to_owned(),
            arch: "x86_64".to_owned(),
            os_version: os_version.to_owned(),
            addresses: Vec::new(),
            labels: Vec::new(),
            verbs: self.verbs.clone(),
            journal_id,
            run_id: None,
            running,
            finished,
            isolation,
        }))
    }
}
