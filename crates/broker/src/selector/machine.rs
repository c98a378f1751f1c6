//! The machine that takes the steps of a selector.

use super::MAX_EFFORT;
use super::fields::{Field, Fields};
use super::like::Pattern;

/// A step of a selector.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Puts a value on the stack.
    Bool(bool),
    Exact(i64),
    Approx(f64),
    Text(Box<str>),
    Field(Field),
    /// An application property, by its place among the names.
    Property(usize),
    /// Changes the value on top.
    Negate,
    Not,
    IsNull,
    Like(Box<Pattern>),
    /// Takes two values and puts one in their place.
    Arithmetic(Arithmetic),
    Compare(Comparison),
    And,
    Or,
    /// Goes on from that step where the value on top decides: false for AND, true for OR. It is made a truth value.
    AndUnless(usize),
    OrUnless(usize),
    /// Takes a value and two bounds.
    Between,
    /// Puts what is found out so far on the stack, above the value that is sought in a list.
    ListStart(Membership),
    /// Takes an element of the list.
    ListElement(Membership),
    /// Takes the value that was sought away, below what was found out.
    ListEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Whether a value is to be in a list or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    In,
    NotIn,
}

/// What a selector computes with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Unknown,
    Bool(bool),
    Exact(i64),
    Approx(f64),
    Text(&'a str),
}

/// Values that a selector may have on the stack. The parser refuses what needs more.
pub(super) const STACK: usize = 32;

impl Step {
    /// How often it may look at each byte of a text.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Like(pattern) => pattern.cost(),
            _ => 0,
        }
    }

    /// By how much it changes the height of the stack, where it goes on with the next one.
    pub(super) fn height(&self) -> isize {
        match self {
            Self::Bool(_) | Self::Exact(_) | Self::Approx(_) | Self::Text(_) => 1,
            Self::Field(_) | Self::Property(_) | Self::ListStart(_) => 1,
            Self::Negate | Self::Not | Self::IsNull | Self::Like(_) | Self::AndUnless(_) | Self::OrUnless(_) => 0,
            Self::Arithmetic(_) | Self::Compare(_) | Self::And | Self::Or => -1,
            Self::ListElement(_) | Self::ListEnd => -1,
            Self::Between => -2,
        }
    }
}

/// Whether the steps come to true.
pub(super) fn run(steps: &[Step], fields: &Fields<'_>) -> bool {
    let mut stack = Stack { values: [Value::Unknown; STACK], height: 0 };
    let (mut at, mut left) = (0, MAX_EFFORT);
    while let Some(step) = steps.get(at) {
        at += 1;
        match step {
            Step::Bool(value) => stack.push(Value::Bool(*value)),
            Step::Exact(value) => stack.push(Value::Exact(*value)),
            Step::Approx(value) => stack.push(Value::Approx(*value)),
            Step::Text(text) => stack.push(Value::Text(text)),
            Step::Field(field) => stack.push(fields.field(*field)),
            Step::Property(index) => stack.push(fields.property(*index)),
            Step::Negate => stack.change(|value| match value {
                Value::Exact(value) => Value::Exact(value.wrapping_neg()),
                Value::Approx(value) => Value::Approx(-value),
                _ => Value::Unknown,
            }),
            Step::Not => stack.change(|value| truth(value.truth().map(|value| !value))),
            Step::IsNull => stack.change(|value| Value::Bool(value == Value::Unknown)),
            Step::Like(pattern) => stack.change(|value| match value {
                Value::Text(text) => match left.checked_sub(text.len().saturating_mul(pattern.cost())) {
                    Some(rest) => {
                        left = rest;
                        Value::Bool(pattern.matches(text))
                    }
                    None => Value::Unknown,
                },
                _ => Value::Unknown,
            }),
            Step::Arithmetic(operation) => {
                let right = stack.pop();
                stack.change(|left| operation.apply(left, right));
            }
            Step::Compare(comparison) => {
                let right = stack.pop();
                stack.change(|left| truth(comparison.apply(left, right)));
            }
            Step::AndUnless(end) => {
                stack.change(|value| truth(value.truth()));
                if stack.top() == Value::Bool(false) {
                    at = *end;
                }
            }
            Step::OrUnless(end) => {
                stack.change(|value| truth(value.truth()));
                if stack.top() == Value::Bool(true) {
                    at = *end;
                }
            }
            Step::And => {
                let right = stack.pop().truth();
                stack.change(|left| truth(and(left.truth(), right)));
            }
            Step::Or => {
                let right = stack.pop().truth();
                stack.change(|left| truth(or(left.truth(), right)));
            }
            Step::Between => {
                let (high, low) = (stack.pop(), stack.pop());
                stack.change(|value| {
                    if value == Value::Unknown || low == Value::Unknown || high == Value::Unknown {
                        return Value::Unknown;
                    }
                    let above = Comparison::GreaterOrEqual.apply(value, low) == Some(true);
                    Value::Bool(above && Comparison::LessOrEqual.apply(value, high) == Some(true))
                });
            }
            Step::ListStart(membership) => stack.push(Value::Bool(*membership == Membership::NotIn)),
            Step::ListElement(membership) => {
                let element = stack.pop();
                let sought = stack.below_top();
                stack.change(|so_far| membership.and_element(so_far, sought, element));
            }
            Step::ListEnd => {
                let found = stack.pop();
                stack.change(|_| found);
            }
        }
    }
    stack.top() == Value::Bool(true)
}

struct Stack<'a> {
    values: [Value<'a>; STACK],
    height: usize,
}

impl<'a> Stack<'a> {
    fn push(&mut self, value: Value<'a>) {
        self.values[self.height] = value;
        self.height += 1;
    }

    fn pop(&mut self) -> Value<'a> {
        self.height -= 1;
        self.values[self.height]
    }

    fn top(&self) -> Value<'a> {
        self.values[self.height - 1]
    }

    fn below_top(&self) -> Value<'a> {
        self.values[self.height - 2]
    }

    fn change(&mut self, change: impl FnOnce(Value<'a>) -> Value<'a>) {
        let top = &mut self.values[self.height - 1];
        *top = change(*top);
    }
}

impl Value<'_> {
    /// True, false, or neither: what is no truth value is unknown where one is asked for.
    fn truth(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }
}

fn truth(value: Option<bool>) -> Value<'static> {
    value.map_or(Value::Unknown, Value::Bool)
}

/// Two numbers, both exact or both approximate (JMS 2.0, 3.8.1.1).
enum Numbers {
    Exact(i64, i64),
    Approx(f64, f64),
}

fn promoted(left: Value<'_>, right: Value<'_>) -> Option<Numbers> {
    Some(match (left, right) {
        (Value::Exact(left), Value::Exact(right)) => Numbers::Exact(left, right),
        (Value::Approx(left), Value::Approx(right)) => Numbers::Approx(left, right),
        (Value::Exact(left), Value::Approx(right)) => Numbers::Approx(left as f64, right),
        (Value::Approx(left), Value::Exact(right)) => Numbers::Approx(left, right as f64),
        _ => return None,
    })
}

impl Arithmetic {
    /// Integers wrap as they do in Java. To divide one by zero is unknown.
    fn apply<'a>(self, left: Value<'a>, right: Value<'a>) -> Value<'a> {
        match promoted(left, right) {
            None => Value::Unknown,
            Some(Numbers::Exact(left, right)) => Value::Exact(match self {
                Self::Add => left.wrapping_add(right),
                Self::Subtract => left.wrapping_sub(right),
                Self::Multiply => left.wrapping_mul(right),
                Self::Divide if right == 0 => return Value::Unknown,
                Self::Divide => left.wrapping_div(right),
            }),
            Some(Numbers::Approx(left, right)) => Value::Approx(match self {
                Self::Add => left + right,
                Self::Subtract => left - right,
                Self::Multiply => left * right,
                Self::Divide => left / right,
            }),
        }
    }
}

impl Comparison {
    fn apply(self, left: Value<'_>, right: Value<'_>) -> Option<bool> {
        if left == Value::Unknown || right == Value::Unknown {
            return None;
        }
        Some(match (promoted(left, right), left, right) {
            (Some(Numbers::Exact(left, right)), ..) => self.holds(&left, &right),
            (Some(Numbers::Approx(left, right)), ..) => self.holds(&left, &right),
            // Texts and truth values are equal or not, and have no order.
            (None, Value::Text(left), Value::Text(right)) => self.is_of_equality() && self.holds(left, right),
            (None, Value::Bool(left), Value::Bool(right)) => self.is_of_equality() && self.holds(&left, &right),
            _ => false,
        })
    }

    fn is_of_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Membership {
    /// What is known once one more element was looked at: to be in a list is to equal this one or that one, not to be in
    /// it is to differ from this one and that one.
    fn and_element<'a>(self, so_far: Value<'a>, sought: Value<'a>, element: Value<'a>) -> Value<'a> {
        truth(match self {
            Self::In => or(so_far.truth(), Comparison::Equal.apply(sought, element)),
            Self::NotIn => and(so_far.truth(), Comparison::NotEqual.apply(sought, element)),
        })
    }
}

/// AND of three values (JMS 2.0, 3.8.1.2).
fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}
