//! The arguments of a step as they stand in a file: a tree in which texts may be templates.

use super::late;
use super::problem::Problems;
use super::render_error::RenderError;
use super::template::{Budget, Scope, Template, Uses, has_template, len_bytes};
use super::yaml::{Kind, Node};
use serde_json::{Map, Value};

/// An argument.
#[derive(Debug)]
pub(super) enum Argument {
    /// No template in it.
    Literal(Value),
    /// Rendered before the job is accepted.
    Early(Box<Template>),
    /// Rendered when its step is about to run; `typed` when it may give any type.
    Late { text: String, typed: bool },
    /// A list with a template in it.
    List(Vec<Argument>),
    /// A map with a template in it.
    Map(Vec<(String, Argument)>),
}

impl Argument {
    /// Compiles what a file says; `None` when that is a problem, which is noted.
    pub(super) fn compile(node: &Node, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(value) => Some(Self::Literal(value.clone())),
            Kind::Text(text) => match Template::compile(text, scope) {
                Ok(None) => Some(Self::Literal(Value::String(text.clone()))),
                Ok(Some(template)) if template.is_late() => Some(Self::Late {
                    text: text.clone(),
                    typed: template.is_typed(),
                }),
                Ok(Some(template)) => Some(Self::Early(Box::new(template))),
                Err(reason) => problems.add(node.at, reason),
            },
            Kind::List(items) => {
                let compiled: Vec<_> = items
                    .iter()
                    .map(|item| Self::compile(item, scope, problems))
                    .collect();
                compiled.into_iter().collect::<Option<Vec<_>>>().map(Self::list)
            }
            Kind::Map(entries) => {
                // It keeps its room when it is collected.
                let mut compiled = Vec::with_capacity(entries.len());
                for (key, node) in entries {
                    if has_template(&key.text) {
                        compiled.push(problems.add(key.at, "a template cannot be a key"));
                    } else if key.text == late::MARKER {
                        compiled
                            .push(problems.add(key.at, format!("the key {:?} is reserved", late::MARKER)));
                    } else {
                        let value = Self::compile(node, scope, problems);
                        compiled.push(value.map(|value| (key.text.clone(), value)));
                    }
                }
                compiled.into_iter().collect::<Option<Vec<_>>>().map(Self::map)
            }
        }
    }

    fn list(items: Vec<Self>) -> Self {
        match items.iter().map(Self::literal).collect::<Option<Vec<_>>>() {
            Some(literals) => Self::Literal(Value::Array(literals)),
            None => Self::List(items),
        }
    }

    fn map(entries: Vec<(String, Self)>) -> Self {
        let literals = entries
            .iter()
            .map(|(key, value)| Some((key.clone(), value.literal()?)));
        match literals.collect::<Option<Map<_, _>>>() {
            Some(literals) => Self::Literal(Value::Object(literals)),
            None => Self::Map(entries),
        }
    }

    /// Its value, when no template is in it.
    pub(super) fn literal(&self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            _ => None,
        }
    }

    /// A value of the type it will have, texts in place of templates; `None` when the type is open.
    pub(super) fn example(&self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Early(template) if template.is_typed() => None,
            Self::Late { typed: true, .. } => None,
            Self::Early(_) | Self::Late { .. } => Some(Value::String("x".to_owned())),
            Self::List(items) => items
                .iter()
                .map(Self::example)
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| Some((key.clone(), value.example()?)))
                .collect::<Option<Map<_, _>>>()
                .map(Value::Object),
        }
    }

    /// Bytes that it has whatever its templates give.
    pub(super) fn fixed_bytes(&self) -> usize {
        match self {
            Self::Literal(value) => len_bytes(value),
            Self::Early(_) => 0,
            Self::Late { text, .. } => text.len(),
            Self::List(items) => items.iter().map(Self::fixed_bytes).sum(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value.fixed_bytes()).sum(),
        }
    }

    /// What must be there to render what of it is early.
    pub(super) fn uses(&self) -> Uses {
        let mut uses = Uses::default();
        match self {
            Self::Literal(_) | Self::Late { .. } => {}
            Self::Early(template) => uses.add(template.uses()),
            Self::List(items) => items.iter().for_each(|item| uses.add(&item.uses())),
            Self::Map(entries) => entries.iter().for_each(|(_, value)| uses.add(&value.uses())),
        }
        uses
    }

    /// Whether any of it waits for its step.
    pub(super) fn is_late(&self) -> bool {
        match self {
            Self::Literal(_) | Self::Early(_) => false,
            Self::Late { .. } => true,
            Self::List(items) => items.iter().any(Self::is_late),
            Self::Map(entries) => entries.iter().any(|(_, value)| value.is_late()),
        }
    }

    /// Renders what is early; what is late stays, marked. No rendered value can pass for marked.
    pub(super) fn render(
        &self,
        context: &minijinja::Value,
        budget: &mut Budget,
    ) -> Result<Value, RenderError> {
        match self {
            Self::Literal(value) => {
                budget.spend(len_bytes(value))?;
                Ok(value.clone())
            }
            Self::Late { text, .. } => {
                budget.spend(text.len())?;
                Ok(late::mark(text))
            }
            Self::Early(template) => {
                let value = template.render(context, budget)?;
                late::refuse_marked(&value)?;
                Ok(value)
            }
            Self::List(items) => {
                let rendered = items.iter().enumerate();
                rendered
                    .map(|(index, item)| item.render(context, budget).map_err(|error| error.at(index)))
                    .collect::<Result<Vec<_>, _>>()
                    .map(Value::Array)
            }
            Self::Map(entries) => {
                let rendered = entries.iter().map(|(key, value)| {
                    let value = value.render(context, budget).map_err(|error| error.under(key))?;
                    Ok((key.clone(), value))
                });
                rendered
                    .collect::<Result<Map<_, _>, RenderError>>()
                    .map(Value::Object)
            }
        }
    }
}
