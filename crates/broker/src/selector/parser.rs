//! Text to steps.
//!
//! ```text
//! selector   = [or]
//! or         = and {OR and}
//! and        = condition {AND condition}
//! condition  = {NOT} sum [test]
//! test       = (= | <> | < | <= | > | >=) sum | IS [NOT] NULL
//!            | [NOT] (BETWEEN sum AND sum | IN ( sum {, sum} ) | LIKE text [ESCAPE text])
//! sum        = product {(+ | -) product}
//! product    = factor {(* | /) factor}
//! factor     = {+ | -} (name | literal | ( or ))
//! ```

use super::error::{SelectorError, SelectorErrorKind as Kind};
use super::fields::Field;
use super::like::Pattern;
use super::machine::{Arithmetic, Comparison, Membership, STACK, Step};
use super::token::{Keyword, Token, Tokens, Word};
use super::{MAX_DEPTH, MAX_LEN, MAX_PROPERTIES, MAX_STEPS};

/// Compiles a selector: its steps, and the application properties that it names, in order.
pub(super) fn compile(text: &str) -> Result<(Vec<Step>, Vec<Box<str>>), SelectorError> {
    if text.len() > MAX_LEN {
        return Err(SelectorError::new(MAX_LEN, Kind::TooLong(text.len())));
    }
    let mut tokens = Tokens::new(text);
    let token = tokens.next()?;
    let mut parser = Parser { tokens, token, steps: Vec::new(), names: Vec::new(), height: 0, depth: 0 };
    if parser.token.word == Word::End {
        parser.emit(Step::Bool(true))?;
    } else {
        parser.or()?;
        if parser.token.word != Word::End {
            return parser.expected("AND, OR or the end");
        }
    }
    Ok(parser.finish())
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    /// The word that is next.
    token: Token<'a>,
    steps: Vec<Step>,
    /// As they were first named.
    names: Vec<Box<str>>,
    /// Values on the stack behind the last step.
    height: isize,
    depth: usize,
}

type Parsed = Result<(), SelectorError>;

impl<'a> Parser<'a> {
    fn or(&mut self) -> Parsed {
        self.and()?;
        while self.take_keyword(Keyword::Or)? {
            let jump = self.emit(Step::OrUnless(0))?;
            self.and()?;
            self.emit(Step::Or)?;
            self.steps[jump] = Step::OrUnless(self.steps.len());
        }
        Ok(())
    }

    fn and(&mut self) -> Parsed {
        self.condition()?;
        while self.take_keyword(Keyword::And)? {
            let jump = self.emit(Step::AndUnless(0))?;
            self.condition()?;
            self.emit(Step::And)?;
            self.steps[jump] = Step::AndUnless(self.steps.len());
        }
        Ok(())
    }

    fn condition(&mut self) -> Parsed {
        let mut negations = 0_usize;
        while self.take_keyword(Keyword::Not)? {
            negations += 1;
        }
        self.sum()?;
        self.test()?;
        self.emit_in_pairs(&Step::Not, negations)
    }

    fn test(&mut self) -> Parsed {
        if let Word::Sign(sign) = self.token.word
            && let Some(comparison) = comparison(sign)
        {
            self.advance()?;
            self.sum()?;
            return self.emit(Step::Compare(comparison)).map(drop);
        }
        if self.take_keyword(Keyword::Is)? {
            let negated = self.take_keyword(Keyword::Not)?;
            if !self.take_keyword(Keyword::Null)? {
                return self.expected("NULL or NOT NULL");
            }
            self.emit(Step::IsNull)?;
            return if negated { self.emit(Step::Not).map(drop) } else { Ok(()) };
        }
        let negated = self.take_keyword(Keyword::Not)?;
        if self.take_keyword(Keyword::Between)? {
            self.sum()?;
            if !self.take_keyword(Keyword::And)? {
                return self.expected("AND between the bounds");
            }
            self.sum()?;
            self.emit(Step::Between)?;
        } else if self.take_keyword(Keyword::Like)? {
            self.pattern()?;
        } else if self.take_keyword(Keyword::In)? {
            return self.list(if negated { Membership::NotIn } else { Membership::In });
        } else if negated {
            return self.expected("BETWEEN, IN or LIKE");
        }
        if negated { self.emit(Step::Not).map(drop) } else { Ok(()) }
    }

    fn list(&mut self, membership: Membership) -> Parsed {
        if !self.take_sign("(")? {
            return self.expected("a list in parentheses");
        }
        self.emit(Step::ListStart(membership))?;
        loop {
            self.sum()?;
            self.emit(Step::ListElement(membership))?;
            if !self.take_sign(",")? {
                break;
            }
        }
        if !self.take_sign(")")? {
            return self.expected("a comma or a closing parenthesis");
        }
        self.emit(Step::ListEnd).map(drop)
    }

    fn pattern(&mut self) -> Parsed {
        let at = self.token.at;
        let Some(pattern) = self.take_text()? else { return self.expected("a pattern in quotes") };
        let mut escape = None;
        if self.take_keyword(Keyword::Escape)? {
            let at = self.token.at;
            let Some(text) = self.take_text()? else { return self.expected("a character in quotes") };
            let mut chars = text.chars();
            escape = match (chars.next(), chars.next()) {
                (Some(escape), None) if !matches!(escape, '%' | '_') => Some(escape),
                _ => return Err(SelectorError::new(at, Kind::Escape)),
            };
        }
        let pattern = Pattern::new(&pattern, escape).map_err(|kind| SelectorError::new(at, kind))?;
        self.emit(Step::Like(Box::new(pattern))).map(drop)
    }

    fn sum(&mut self) -> Parsed {
        self.product()?;
        loop {
            let operation = match self.token.word {
                Word::Sign("+") => Arithmetic::Add,
                Word::Sign("-") => Arithmetic::Subtract,
                _ => return Ok(()),
            };
            self.advance()?;
            self.product()?;
            self.emit(Step::Arithmetic(operation))?;
        }
    }

    fn product(&mut self) -> Parsed {
        self.factor()?;
        loop {
            let operation = match self.token.word {
                Word::Sign("*") => Arithmetic::Multiply,
                Word::Sign("/") => Arithmetic::Divide,
                _ => return Ok(()),
            };
            self.advance()?;
            self.factor()?;
            self.emit(Step::Arithmetic(operation))?;
        }
    }

    fn factor(&mut self) -> Parsed {
        let mut negations = 0_usize;
        loop {
            match self.token.word {
                Word::Sign("-") => negations += 1,
                Word::Sign("+") => {}
                _ => break,
            }
            self.advance()?;
        }
        let at = self.token.at;
        if self.take_sign("(")? {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(SelectorError::new(at, Kind::TooDeep));
            }
            self.or()?;
            if !self.take_sign(")")? {
                return self.expected("a closing parenthesis");
            }
            self.depth -= 1;
            return self.emit_in_pairs(&Step::Negate, negations);
        }
        let step = match &self.token.word {
            Word::Name(name) => match Field::named(name) {
                Some(field) => Step::Field(field),
                None => Step::Property(Self::index(&mut self.names, name, at)?),
            },
            Word::Text(text) => Step::Text(text.as_ref().into()),
            Word::Keyword(Keyword::True) => Step::Bool(true),
            Word::Keyword(Keyword::False) => Step::Bool(false),
            Word::Approx(value) => Step::Approx(*value),
            // The least long is written as the negative of what is no long.
            Word::Exact { magnitude, decimal: true } if *magnitude == 1 << 63 && negations > 0 => {
                negations -= 1;
                Step::Exact(i64::MIN)
            }
            Word::Exact { magnitude, decimal: true } if i64::try_from(*magnitude).is_err() => {
                return Err(SelectorError::new(at, Kind::TooLarge));
            }
            Word::Exact { magnitude, .. } => Step::Exact(*magnitude as i64),
            _ => return self.expected("a name or a value"),
        };
        self.advance()?;
        self.emit(step)?;
        self.emit_in_pairs(&Step::Negate, negations)
    }

    /// The place of a name among those that were named.
    fn index(names: &mut Vec<Box<str>>, name: &str, at: usize) -> Result<usize, SelectorError> {
        if let Some(index) = names.iter().position(|known| **known == *name) {
            return Ok(index);
        }
        if names.len() == MAX_PROPERTIES {
            return Err(SelectorError::new(at, Kind::TooManyProperties));
        }
        names.push(name.into());
        Ok(names.len() - 1)
    }

    /// Adds a step that is its own reverse so many times: more than two are as good as one or two.
    fn emit_in_pairs(&mut self, step: &Step, times: usize) -> Parsed {
        let times = if times > 2 { 2 - times % 2 } else { times };
        for _ in 0..times {
            self.emit(step.clone())?;
        }
        Ok(())
    }

    fn emit(&mut self, step: Step) -> Result<usize, SelectorError> {
        if self.steps.len() == MAX_STEPS {
            return Err(SelectorError::new(self.token.at, Kind::TooManySteps));
        }
        self.height += step.height();
        if self.height > STACK as isize {
            return Err(SelectorError::new(self.token.at, Kind::TooDeep));
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    /// Puts the names in order, and the steps with them.
    fn finish(mut self) -> (Vec<Step>, Vec<Box<str>>) {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by(|a, b| self.names[*a].cmp(&self.names[*b]));
        for step in &mut self.steps {
            if let Step::Property(index) = step {
                *index = order.iter().position(|old| old == index).expect("every name has a place");
            }
        }
        self.names.sort();
        (self.steps, self.names)
    }

    fn take_keyword(&mut self, keyword: Keyword) -> Result<bool, SelectorError> {
        let there = self.token.word == Word::Keyword(keyword);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn take_sign(&mut self, sign: &'static str) -> Result<bool, SelectorError> {
        let there = self.token.word == Word::Sign(sign);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn take_text(&mut self) -> Result<Option<std::borrow::Cow<'a, str>>, SelectorError> {
        let Word::Text(text) = &self.token.word else { return Ok(None) };
        let text = text.clone();
        self.advance()?;
        Ok(Some(text))
    }

    fn advance(&mut self) -> Parsed {
        self.token = self.tokens.next()?;
        Ok(())
    }

    fn expected<T>(&self, what: &'static str) -> Result<T, SelectorError> {
        Err(SelectorError::new(self.token.at, Kind::Expected(what)))
    }
}

fn comparison(sign: &str) -> Option<Comparison> {
    Some(match sign {
        "=" => Comparison::Equal,
        "<>" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}
