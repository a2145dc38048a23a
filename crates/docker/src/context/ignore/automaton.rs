//! A row of steps that a path must pass: what a regular expression comes down to that has neither groups nor alternatives.
//!
//! All places in the row that can be reached are followed at once, so no pattern and no path makes it slow. It can also
//! tell whether anything below a folder could still match, which decides whether an excluded folder must be read.

use super::rune;

/// One step of the row.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// One character of the set.
    One(Set),
    /// Any number of characters of the set.
    Repeat(Set),
    /// The next `len` steps may be left out.
    Optional {
        /// How many steps.
        len: usize,
    },
    /// No character, but a condition.
    Anchor(Anchor),
}

/// A condition on the place in the path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    /// Nothing stands before it.
    Start,
    /// Nothing stands behind it.
    End,
    /// It is between a word and something else, or is not.
    WordEdge(bool),
}

/// A set of characters.
#[derive(Debug, Clone)]
pub(super) struct Set(Vec<(u32, u32)>);

impl Set {
    /// The set of one character.
    pub(super) fn one(character: char) -> Self {
        Self::ranges(&[(character, character)])
    }

    /// The set of all characters between each two, both included.
    pub(super) fn ranges(ranges: &[(char, char)]) -> Self {
        Self(
            ranges
                .iter()
                .map(|&(low, high)| (low.into(), high.into()))
                .collect(),
        )
    }

    /// The set that POSIX calls `name`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let ranges: &[(char, char)] = match name {
            "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
            "alpha" => &[('A', 'Z'), ('a', 'z')],
            "ascii" => &[('\0', '\x7f')],
            "blank" => &[('\t', '\t'), (' ', ' ')],
            "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
            "digit" => &[('0', '9')],
            "graph" => &[('!', '~')],
            "lower" => &[('a', 'z')],
            "print" => &[(' ', '~')],
            "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
            "space" => &[('\t', '\r'), (' ', ' ')],
            "upper" => &[('A', 'Z')],
            "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
            "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
            _ => return None,
        };
        Some(Self::ranges(ranges))
    }

    /// Everything that is not in the set.
    pub(super) fn inverted(mut self) -> Self {
        self.0.sort_unstable();
        let mut gaps = Vec::new();
        let mut from = 0;
        for (low, high) in self.0 {
            if from < low {
                gaps.push((from, low - 1));
            }
            from = from.max(high + 1);
        }
        if from <= char::MAX.into() {
            gaps.push((from, char::MAX.into()));
        }
        Self(gaps)
    }

    /// Adds everything that `other` has.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn has(&self, character: char) -> bool {
        let code = u32::from(character);
        self.0
            .iter()
            .any(|&(low, high)| (low..=high).contains(&code))
    }

    /// The only character of the set, if it has but one.
    fn only(&self) -> Option<char> {
        match self.0[..] {
            [(low, high)] if low == high => char::from_u32(low),
            _ => None,
        }
    }
}

/// A row of steps, ready to compare.
#[derive(Debug, Clone)]
pub(super) struct Automaton {
    steps: Vec<Step>,
    anchored: bool,
    /// What every match ends with, so that most paths need no more than a look at their end.
    tail: Vec<u8>,
}

impl Automaton {
    /// The automaton that passes `steps`, beginning anywhere in a path: most rows begin with an anchor.
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self {
            tail: tail(&steps),
            anchored: matches!(steps.first(), Some(Step::Anchor(Anchor::Start))),
            steps,
        }
    }

    /// Whether `path` matches.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        path.ends_with(&self.tail) && self.follow(path, Rest::Nothing)
    }

    /// Whether some path that begins with `folder`, which ends with a slash, and goes on may match. It errs on the side of
    /// yes.
    pub(super) fn may_match_below(&self, folder: &[u8]) -> bool {
        self.follow(folder, Rest::Something)
    }

    fn follow(&self, path: &[u8], rest: Rest) -> bool {
        let mut here = Places::new(self.steps.len());
        here.add(0);
        let mut before = None;
        let mut left = path;
        loop {
            let next = rune::first(left);
            self.settle(
                &mut here,
                Surroundings {
                    before,
                    next: next.map(|it| it.0),
                    rest,
                },
            );
            // Behind the last step nothing is asked any more: an expression whose end anchor is quoted away has none.
            if here.has(self.steps.len()) {
                return true;
            }
            let Some((character, len)) = next else {
                return matches!(rest, Rest::Something) && !here.is_empty();
            };
            let mut there = Places::new(self.steps.len());
            if !self.anchored {
                there.add(0);
            }
            for place in here.all() {
                match &self.steps[place] {
                    Step::One(set) if set.has(character) => there.add(place + 1),
                    Step::Repeat(set) if set.has(character) => there.add(place),
                    _ => {}
                }
            }
            if there.is_empty() {
                return false;
            }
            here = there;
            before = Some(character);
            left = &left[len..];
        }
    }

    /// Adds the places that are reached without a character. They all lie ahead, so one pass is enough.
    fn settle(&self, here: &mut Places, surroundings: Surroundings) {
        for (place, step) in self.steps.iter().enumerate() {
            if !here.has(place) {
                continue;
            }
            match step {
                Step::One(_) => {}
                Step::Repeat(_) => here.add(place + 1),
                Step::Optional { len } => {
                    here.add(place + 1);
                    here.add(place + 1 + len);
                }
                Step::Anchor(anchor) => {
                    if surroundings.allow(*anchor) {
                        here.add(place + 1);
                    }
                }
            }
        }
    }
}

/// The literal text before the end anchor.
fn tail(steps: &[Step]) -> Vec<u8> {
    let Some((Step::Anchor(Anchor::End), steps)) = steps.split_last() else {
        return Vec::new();
    };
    // What may be left out is in no text that every match has.
    let optional = steps
        .iter()
        .enumerate()
        .filter_map(|(at, step)| match step {
            Step::Optional { len } => Some(at + 1 + len),
            _ => None,
        });
    // The anchor itself may be optional.
    let certain = steps.get(optional.max().unwrap_or(0)..).unwrap_or_default();
    let literals = certain.iter().rev().map_while(|step| match step {
        // U+FFFD stands for bytes that are no text, too.
        Step::One(set) => set.only().filter(|&it| it != char::REPLACEMENT_CHARACTER),
        _ => None,
    });
    let backwards: Vec<char> = literals.collect();
    let text: String = backwards.into_iter().rev().collect();
    text.into_bytes()
}

/// What follows the path that is looked at.
#[derive(Debug, Clone, Copy)]
enum Rest {
    Nothing,
    /// At least one more character, nobody knows which.
    Something,
}

#[derive(Clone, Copy)]
struct Surroundings {
    before: Option<char>,
    next: Option<char>,
    rest: Rest,
}

impl Surroundings {
    fn allow(self, anchor: Anchor) -> bool {
        let Self { before, next, rest } = self;
        let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
        match (anchor, rest) {
            (Anchor::Start, _) => before.is_none(),
            (Anchor::End, Rest::Nothing) => next.is_none(),
            (Anchor::End, Rest::Something) => false,
            (Anchor::WordEdge(_), Rest::Something) if next.is_none() => true,
            (Anchor::WordEdge(wanted), _) => {
                (before.is_some_and(is_word) != next.is_some_and(is_word)) == wanted
            }
        }
    }
}

/// A set of places in the row.
#[derive(Debug, Clone)]
enum Places {
    Few(u64),
    Many(Vec<bool>),
}

impl Places {
    fn new(steps: usize) -> Self {
        if steps < 64 {
            Self::Few(0)
        } else {
            Self::Many(vec![false; steps + 1])
        }
    }

    fn add(&mut self, place: usize) {
        match self {
            Self::Few(bits) => *bits |= 1 << place,
            Self::Many(places) => places[place] = true,
        }
    }

    fn has(&self, place: usize) -> bool {
        match self {
            Self::Few(bits) => bits & (1 << place) != 0,
            Self::Many(places) => places[place],
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Few(bits) => *bits == 0,
            Self::Many(places) => !places.contains(&true),
        }
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        let end = match self {
            Self::Few(bits) => 64 - bits.leading_zeros() as usize,
            Self::Many(places) => places.len() - 1,
        };
        (0..end).filter(|&place| self.has(place))
    }
}
