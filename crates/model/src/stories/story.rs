//! A story, drawn from a seed.

use super::random::Random;
use super::rules::Rules;
use super::step::Step;
use super::world::World;

/// The fewest and the most steps of a story that is drawn.
const STEPS: (u64, u64) = (10, 120);

/// How the house of a story is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The processes share a broker; else each has a queue of its own, which dies with it.
    pub shared_queue: bool,
    /// Processes may be on another machine, where the lease alone tells who lives.
    pub machines: bool,
}

/// What happens, in a house of some shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The house.
    pub shape: Shape,
    /// What happens, in this order.
    pub steps: Vec<Step>,
}

impl Story {
    /// Draws the story of a seed.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        // Neighbouring seeds must not give stories that are each other's tails.
        let mut random = Random::new(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1));
        let shape = Shape {
            shared_queue: random.once_in(2),
            machines: random.once_in(2),
        };
        let most = STEPS.0 + random.below(STEPS.1 - STEPS.0);
        let mut world = World::new(Rules::OURS, shape, 1, "");
        let mut steps = Vec::new();
        let mut step = Step::submit(&mut random);
        // What happens to nobody is left out.
        while (steps.len() as u64) < most {
            let told = world.told();
            let broken = world.step(step).is_err();
            if broken || world.told() > told {
                steps.push(step);
            }
            if broken {
                break;
            }
            step = Step::draw(&mut random);
        }
        Self { shape, steps }
    }

    /// Returns the story without some of its steps.
    pub(super) fn without(&self, from: usize, count: usize) -> Self {
        let until = (from + count).min(self.steps.len());
        let mut steps = self.steps.clone();
        steps.drain(from..until);
        Self {
            shape: self.shape,
            steps,
        }
    }

    /// Returns stories of the same length that are a little plainer.
    pub(super) fn plainer(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for shape in [
            Shape {
                shared_queue: false,
                ..self.shape
            },
            Shape {
                machines: false,
                ..self.shape
            },
        ] {
            if shape != self.shape {
                all.push(Self {
                    shape,
                    steps: self.steps.clone(),
                });
            }
        }
        for (place, step) in self.steps.iter().enumerate() {
            for plainer in step.plainer() {
                let mut steps = self.steps.clone();
                steps[place] = plainer;
                all.push(Self {
                    shape: self.shape,
                    steps,
                });
            }
        }
        all
    }
}
