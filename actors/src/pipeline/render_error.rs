//! Why a job could not be made of a pipeline, a named job or a submitted specification.

use std::fmt;

/// A job that could not be rendered; nothing of it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderError {
    /// `pipeline NAME` or `job NAME`.
    subject: Option<String>,
    /// The step's id.
    step: Option<String>,
    /// Whether the argument is a name of `let`.
    of_let: bool,
    /// Path of the argument, the parameter or the value of `let`: `argv[1]`.
    argument: String,
    cause: Cause,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cause {
    #[error("{{{{ {expression} }}}} has no value")]
    Missing { expression: String },
    #[error("the template failed: {reason}")]
    Template { reason: String },
    #[error("{reason}")]
    BadArgument { reason: String },
    #[error("the condition failed: {reason}")]
    Condition { reason: String },
    #[error("rendered, it is longer than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("{reason}")]
    BadParams { reason: String },
    #[error("{reason}")]
    BadJob { reason: String },
}

impl RenderError {
    pub(super) fn new(cause: Cause) -> Self {
        Self {
            subject: None,
            step: None,
            of_let: false,
            argument: String::new(),
            cause,
        }
    }

    pub(super) fn bad_argument(reason: impl Into<String>) -> Self {
        Self::new(Cause::BadArgument {
            reason: reason.into(),
        })
    }

    pub(super) fn bad_job(reason: impl Into<String>) -> Self {
        Self::new(Cause::BadJob {
            reason: reason.into(),
        })
    }

    /// The same, found under `key` of a map of arguments.
    pub(super) fn under(mut self, key: &str) -> Self {
        let joint = if self.argument.is_empty() || self.argument.starts_with('[') {
            ""
        } else {
            "."
        };
        self.argument = format!("{key}{joint}{}", self.argument);
        self
    }

    /// The same, found at `index` of a list.
    pub(super) fn at(mut self, index: usize) -> Self {
        let joint = if self.argument.is_empty() || self.argument.starts_with('[') {
            ""
        } else {
            "."
        };
        self.argument = format!("[{index}]{joint}{}", self.argument);
        self
    }

    /// The same, found in the value `name` of `let`.
    pub(super) fn in_let(self, name: &str) -> Self {
        Self {
            of_let: true,
            ..self.under(name)
        }
    }

    pub(super) fn in_step(mut self, step: &str) -> Self {
        self.step = Some(step.to_owned());
        self
    }

    pub(super) fn in_subject(mut self, kind: &str, name: &impl fmt::Display) -> Self {
        self.subject = Some(format!("{kind} {name}"));
        self
    }

    /// A stable word: `missing_field`, `template_error`, `condition_error`, `bad_argument`, `too_large`, `bad_params`,
    /// `bad_job`.
    pub fn code(&self) -> &'static str {
        match self.cause {
            Cause::Missing { .. } => "missing_field",
            Cause::Template { .. } => "template_error",
            Cause::Condition { .. } => "condition_error",
            Cause::BadArgument { .. } => "bad_argument",
            Cause::TooLarge { .. } => "too_large",
            Cause::BadParams { .. } => "bad_params",
            Cause::BadJob { .. } => "bad_job",
        }
    }
}

impl From<Cause> for RenderError {
    fn from(cause: Cause) -> Self {
        Self::new(cause)
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places = Vec::new();
        places.extend(self.subject.clone());
        places.extend(self.step.as_ref().map(|step| format!("step {step}")));
        if !self.argument.is_empty() {
            let what = match (&self.step, self.of_let) {
                (_, true) => "let",
                (Some(_), false) => "argument",
                (None, false) => "parameter",
            };
            places.push(format!("{what} {}", self.argument));
        }
        if places.is_empty() {
            return self.cause.fmt(f);
        }
        write!(f, "{}: {}", places.join(", "), self.cause)
    }
}

impl std::error::Error for RenderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}
