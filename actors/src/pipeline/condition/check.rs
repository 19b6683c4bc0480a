//! What a condition may contain, so that no expression can overflow a stack, run for long or allocate much.
//!
//! The tree is measured without recursion first; only what is shallow enough is walked recursively.

use super::value::Pattern;
use crate::pipeline::host::{EVENT_FIELDS, HOST_FIELDS};
use crate::pipeline::problem::suggestion;
use crate::pipeline::template::{Known, Scope, unknown_field};
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use regex::{Regex, RegexBuilder};

/// Deepest expression tree, macros expanded.
const DEPTH_MAX: usize = 64;
/// Most `+` in one condition: each may copy a text as long as an event.
const ADDITIONS_MAX: usize = 8;
/// Largest compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1024 * 1024;
/// Most of all of them in one condition together, in bytes.
const REGEXES_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What the smallest regular expression counts as, in bytes.
const REGEX_BYTES_MIN: usize = 16 * 1024;

pub(super) const FUNCTIONS: &[&str] = &[
    "size",
    "int",
    "uint",
    "double",
    "string",
    "timestamp",
    "duration",
    "re",
];
pub(super) const METHODS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];
pub(super) const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter"];
const OPERATORS: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
];

/// Why an expression is refused, and at which node.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) node: u64,
    pub(super) reason: String,
}

/// What the walk learned.
#[derive(Debug)]
pub(super) struct Findings<'s> {
    scope: &'s Scope<'s>,
    pub(super) host: bool,
    /// Whether it names what is known before a job is accepted.
    pub(super) early: bool,
    /// Whether it names what is known only when a step is about to run.
    pub(super) late: bool,
    /// Whether it names the element of a step's list.
    pub(super) item: bool,
    /// Whether one of these names is looked at for every element of a list.
    pub(super) square: bool,
    pub(super) regexes: Vec<Pattern>,
    /// About as many bytes as they have.
    pub(super) regexes_bytes: usize,
    additions: usize,
    loop_depth: usize,
    locals: Vec<String>,
}

/// Whether the tree is at most [`DEPTH_MAX`] deep; does not recurse.
pub(super) fn depth(root: &IdedExpr) -> Result<(), Refused> {
    let mut open = vec![(root, 1)];
    while let Some((node, depth)) = open.pop() {
        if depth > DEPTH_MAX {
            let reason = format!("the condition nests deeper than {DEPTH_MAX}; split it with && or lists");
            return Err(Refused {
                node: node.id,
                reason,
            });
        }
        open.extend(children(&node.expr).into_iter().map(|child| (child, depth + 1)));
    }
    Ok(())
}

fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(each) => vec![
            &each.iter_range,
            &each.accu_init,
            &each.loop_cond,
            &each.loop_step,
            &each.result,
        ],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        // Refused by the walk before anything in them is looked at.
        Expr::Map(_) | Expr::Struct(_) => Vec::new(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

impl<'s> Findings<'s> {
    /// Of a condition over these names.
    pub(super) fn over(scope: &'s Scope<'s>) -> Self {
        Self {
            scope,
            host: false,
            early: false,
            late: false,
            item: false,
            square: false,
            regexes: Vec::new(),
            regexes_bytes: 0,
            additions: 0,
            loop_depth: 0,
            locals: Vec::new(),
        }
    }

    /// Walks a tree that [`depth`] accepted, and puts compiled patterns in place of those of `re`.
    pub(super) fn walk(&mut self, node: &mut IdedExpr) -> Result<(), Refused> {
        let id = node.id;
        let refuse = |reason: &str| {
            Err(Refused {
                node: id,
                reason: reason.to_owned(),
            })
        };
        match &mut node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(id, name),
            Expr::Select(select) => self.select(id, select),
            // Made again for every element, it would double what the list has; one comprehension after the other
            // doubles that.
            Expr::List(list) if self.loop_depth > 0 && !list.elements.iter().all(is_constant) => {
                refuse("in a comprehension a list may hold only literals")
            }
            Expr::List(list) => list.elements.iter_mut().try_for_each(|item| self.walk(item)),
            Expr::Call(call) => self.call(id, call),
            Expr::Comprehension(each) => self.comprehension(id, each),
            Expr::Map(_) => refuse("map literals are not supported in conditions"),
            Expr::Struct(_) => refuse("messages are not supported in conditions"),
            Expr::Unspecified => refuse("the condition is incomplete"),
        }
    }

    fn variable(&mut self, node: u64, name: &str) -> Result<(), Refused> {
        if self.locals.iter().any(|local| local == name) {
            return Ok(());
        }
        if let Some(known) = self.scope.known(name) {
            self.host |= name == "host";
            self.early |= known == Known::Early;
            self.late |= known == Known::Late;
            self.item |= matches!(name, "item" | "index");
            self.square |= self.loop_depth > 0;
            return Ok(());
        }
        let names = self.scope.names();
        let hint = suggestion(name, names.iter().copied());
        let names = names.join(" or ");
        Err(Refused {
            node,
            reason: format!("unknown name {name:?}, expected {names}{hint}"),
        })
    }

    fn select(&mut self, node: u64, select: &mut SelectExpr) -> Result<(), Refused> {
        let known = match &select.operand.expr {
            Expr::Ident(name) if name == "event" => Some(("event", EVENT_FIELDS)),
            Expr::Ident(name) if name == "host" => Some(("host", HOST_FIELDS)),
            _ => None,
        };
        if let Some((root, fields)) = known.filter(|(_, fields)| !fields.contains(&select.field.as_str())) {
            let field = &select.field;
            let hint = suggestion(field, fields.iter().copied());
            let fields = fields.join(", ");
            let reason = format!("{root} has no field {field:?}, expected one of {fields}{hint}");
            return Err(Refused { node, reason });
        }
        if let Expr::Ident(root) = &select.operand.expr {
            self.field(node, root, &select.field)?;
        }
        self.walk(&mut select.operand)
    }

    /// A field of a name whose fields are known: steps, parameters and `let`.
    fn field(&self, node: u64, root: &str, field: &str) -> Result<(), Refused> {
        let of_others = self.locals.iter().any(|local| local == root) || self.scope.known(root).is_none();
        if of_others || !matches!(root, "steps" | "params" | "vars") {
            return Ok(());
        }
        unknown_field(root, field, self.scope).map_err(|reason| Refused { node, reason })
    }

    fn call(&mut self, node: u64, call: &mut CallExpr) -> Result<(), Refused> {
        self.callable(node, call)?;
        if call.func_name == "re" && call.target.is_none() {
            return self.pattern(node, call);
        }
        if call.func_name == operators::INDEX
            && let [root, field] = call.args.as_slice()
            && let (Expr::Ident(root), Expr::Literal(LiteralValue::String(field))) = (&root.expr, &field.expr)
        {
            self.field(node, root, field.inner())?;
        }
        if let Some(target) = &mut call.target {
            self.walk(target)?;
        }
        call.args.iter_mut().try_for_each(|argument| self.walk(argument))
    }

    fn callable(&mut self, node: u64, call: &CallExpr) -> Result<(), Refused> {
        let name = call.func_name.as_str();
        let refuse = |reason: String| Err(Refused { node, reason });
        if name == "matches" {
            return refuse(
                "matches() would compile its pattern for every event; use re(text, \"pattern\")".into(),
            );
        }
        if name == operators::ADD {
            self.additions += 1;
            if self.loop_depth > 0 {
                return refuse("+ is not supported inside a comprehension".into());
            }
            if self.additions > ADDITIONS_MAX {
                return refuse(format!(
                    "at most {ADDITIONS_MAX} additions are supported in a condition"
                ));
            }
        }
        let known = if call.target.is_some() { METHODS } else { FUNCTIONS };
        if known.contains(&name) || (call.target.is_none() && OPERATORS.contains(&name)) {
            return Ok(());
        }
        let hint = suggestion(name, known.iter().chain(MACROS).copied());
        let known = known.join(", ");
        refuse(format!(
            "unknown function {name:?}, expected one of {known}{hint}"
        ))
    }

    /// `re(text, "literal")`: compiles the literal and puts a variable in its place.
    fn pattern(&mut self, node: u64, call: &mut CallExpr) -> Result<(), Refused> {
        let refuse = |reason: String| Err(Refused { node, reason });
        let [text, pattern] = call.args.as_mut_slice() else {
            return refuse("re needs a text and a pattern: re(event.data.path, \"^/tmp/\")".into());
        };
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return refuse("the pattern of re must be a literal text, as it is compiled at load".into());
        };
        match regex(literal.inner()) {
            Err(error) => return refuse(format!("pattern of re: {}", last_line(&error.to_string()))),
            Ok((regex, bytes)) => {
                self.regexes_bytes += bytes;
                if self.regexes_bytes > REGEXES_BYTES_MAX {
                    return refuse(format!(
                        "the patterns of re in a condition are larger than {REGEXES_BYTES_MAX} bytes together, compiled"
                    ));
                }
                pattern.expr = Expr::Ident(format!("{}{}", Pattern::VARIABLE, self.regexes.len()));
                self.regexes.push(Pattern(regex));
            }
        }
        self.walk(text)
    }

    fn comprehension(&mut self, node: u64, each: &mut ComprehensionExpr) -> Result<(), Refused> {
        let refuse = |reason: &str| {
            Err(Refused {
                node,
                reason: reason.to_owned(),
            })
        };
        if self.loop_depth > 0 {
            return refuse("a comprehension inside another is not supported");
        }
        if !is_range(&each.iter_range.expr) {
            return refuse("a comprehension must run over a field, a list, or the result of map or filter");
        }
        self.walk(&mut each.iter_range)?;
        self.loop_depth += 1;
        let locals = self.locals.len();
        self.locals.extend([each.iter_var.clone(), each.accu_var.clone()]);
        self.locals.extend(each.iter_var2.clone());
        // The step of map and filter adds one element to the result; that addition is the macro's own.
        let additions = std::mem::take(&mut self.additions);
        let body = [&mut each.accu_init, &mut each.loop_cond, &mut each.result];
        let walked = body
            .into_iter()
            .try_for_each(|part| self.walk(part))
            .and_then(|()| self.step(&mut each.loop_step, &each.accu_var));
        self.additions = additions;
        self.locals.truncate(locals);
        self.loop_depth -= 1;
        walked
    }

    /// The step of a comprehension, where `@result + [element]` is what map and filter expand to.
    fn step(&mut self, node: &mut IdedExpr, accumulator: &str) -> Result<(), Refused> {
        let is_accumulator = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if name == accumulator);
        match &mut node.expr {
            Expr::Call(call) if call.func_name == operators::ADD => match call.args.as_mut_slice() {
                [left, right] if is_accumulator(left) => match &mut right.expr {
                    Expr::List(list) => list.elements.iter_mut().try_for_each(|item| self.walk(item)),
                    _ => self.walk(right),
                },
                _ => self.walk(node),
            },
            Expr::Call(call) if call.func_name == operators::CONDITIONAL => call
                .args
                .iter_mut()
                .try_for_each(|argument| self.step(argument, accumulator)),
            _ => self.walk(node),
        }
    }
}

/// Compiles a pattern, and says how large it is then, to within a factor of two: the crate tells only what is too large.
fn regex(pattern: &str) -> Result<(Regex, usize), regex::Error> {
    let mut bytes = REGEX_BYTES_MIN;
    loop {
        match RegexBuilder::new(pattern).size_limit(bytes).build() {
            Err(regex::Error::CompiledTooBig(_)) if bytes < REGEX_BYTES_MAX => bytes *= 2,
            built => return built.map(|regex| (regex, bytes)),
        }
    }
}

/// What a comprehension may run over: nothing that makes a list longer than those of the event.
fn is_range(expr: &Expr) -> bool {
    match expr {
        Expr::Ident(_) | Expr::List(_) | Expr::Comprehension(_) => true,
        Expr::Select(select) => !select.test && is_range(&select.operand.expr),
        Expr::Call(call) => {
            call.func_name == operators::INDEX && call.args.first().is_some_and(|list| is_range(&list.expr))
        }
        _ => false,
    }
}

fn is_constant(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) => true,
        Expr::List(list) => list.elements.iter().all(is_constant),
        _ => false,
    }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text)
}
