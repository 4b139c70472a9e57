//! Looking for a story that breaks a promise, and for the shortest part of it that does.

use std::fmt;

use super::story::Story;
use super::world::Broken;

/// Tries the stories of a range of seeds. Whoever plays them asks for the [`Hunt::next`] and tells how it went
/// ([`Hunt::tell`]), so that they can be played by what waits and by what does not.
pub struct Hunt {
    seed: u64,
    left: u64,
    found: Option<Found>,
    asked: Option<Story>,
}

/// A story that breaks a promise, while it is being reduced.
struct Found {
    seed: u64,
    story: Story,
    broken: Broken,
    /// How many steps are left out at a time, and from where.
    size: usize,
    at: usize,
    /// A step was left out since the last look at all of them.
    shorter: bool,
    /// Plainer stories to try, once nothing can be left out.
    plainer: Option<Vec<Story>>,
}

/// The shortest story that breaks a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What is left of it.
    pub story: Story,
    /// What happened, and which promise it broke.
    pub broken: Broken,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a promise is broken: {}", self.broken.promise)?;
        writeln!(f, "the shortest story that breaks it ({:?}):", self.story.shape)?;
        for (number, line) in (1..).zip(&self.broken.lines) {
            writeln!(f, "{number:>3}. {line}")?;
        }
        write!(
            f,
            "again: MUSTER_TEST_SEED={} MUSTER_TEST_STORIES=1 and the same test",
            self.seed
        )
    }
}

impl Hunt {
    /// Returns a hunt through `stories` seeds from `seed` on.
    #[must_use]
    pub fn new(seed: u64, stories: u64) -> Self {
        Self {
            seed,
            left: stories,
            found: None,
            asked: None,
        }
    }

    /// Returns the next story to play; None once it is known how the hunt ends.
    #[expect(
        clippy::should_implement_trait,
        reason = "each story waits for what is told of the last"
    )]
    pub fn next(&mut self) -> Option<Story> {
        self.asked = match &mut self.found {
            Some(found) => found.next(),
            None if self.left == 0 => None,
            None => Some(Story::drawn(self.seed)),
        };
        self.asked.clone()
    }

    /// Takes note of how the story went that was asked for last.
    pub fn tell(&mut self, result: Result<(), Broken>) {
        let Some(story) = self.asked.take() else { return };
        match (&mut self.found, result) {
            (Some(found), Ok(())) => found.at += found.size,
            (Some(found), Err(broken)) => found.take(story, broken),
            (None, Ok(())) => {
                self.seed = self.seed.wrapping_add(1);
                self.left -= 1;
            }
            (None, Err(broken)) => self.found = Some(Found::new(self.seed, story, broken)),
        }
    }

    /// Returns how it ended.
    ///
    /// # Errors
    ///
    /// The shortest story that broke a promise.
    pub fn end(self) -> Result<(), Box<Failure>> {
        match self.found {
            None => Ok(()),
            Some(found) => Err(Box::new(Failure {
                seed: found.seed,
                story: found.story,
                broken: found.broken,
            })),
        }
    }

    /// Plays every story with what does not wait.
    ///
    /// # Errors
    ///
    /// The shortest story that broke a promise.
    pub fn play<T>(mut self, mut play: impl FnMut(&Story) -> Result<T, Broken>) -> Result<(), Box<Failure>> {
        while let Some(story) = self.next() {
            let result = play(&story);
            self.tell(result.map(drop));
        }
        self.end()
    }
}

impl Found {
    fn new(seed: u64, story: Story, broken: Broken) -> Self {
        Self {
            seed,
            size: story.steps.len().div_ceil(2).max(1),
            at: 0,
            shorter: false,
            plainer: None,
            story,
            broken,
        }
    }

    fn next(&mut self) -> Option<Story> {
        while self.plainer.is_none() {
            if self.at < self.story.steps.len() {
                return Some(self.story.without(self.at, self.size));
            }
            self.at = 0;
            if self.size > 1 {
                self.size = self.size.div_ceil(2);
            } else if self.shorter {
                self.shorter = false;
            } else {
                self.plainer = Some(self.story.plainer());
            }
        }
        self.plainer.as_mut()?.pop()
    }

    fn take(&mut self, story: Story, broken: Broken) {
        // What is plainer may now be made shorter, too.
        self.plainer = None;
        self.shorter = true;
        self.at = self.at.min(story.steps.len());
        self.story = story;
        self.broken = broken;
    }
}
