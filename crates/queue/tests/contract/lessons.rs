//! The lessons of `examples`, as they stand there: each says the same on every adapter.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::Trial;

/// Each with a `main`, which has no use here.
macro_rules! lesson {
    ($name:ident, $path:literal) => {
        #[path = $path]
        #[expect(dead_code, reason = "the example's own main")]
        mod $name;
    };
}
lesson!(hello, "../../examples/hello.rs");
lesson!(work_queue, "../../examples/work_queue.rs");
lesson!(logs_fanout, "../../examples/logs_fanout.rs");
lesson!(logs_direct, "../../examples/logs_direct.rs");
lesson!(logs_topic, "../../examples/logs_topic.rs");
lesson!(headers, "../../examples/headers.rs");
lesson!(rpc, "../../examples/rpc.rs");
lesson!(orders, "../../examples/orders.rs");

type Say<'a> = &'a (dyn Fn(String) + Sync);
type Run = for<'a> fn(
    &'a str,
    Say<'a>,
) -> Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + 'a>>;

struct Lesson {
    name: &'static str,
    run: Run,
    says: &'static [&'static str],
}

const LESSONS: &[Lesson] = &[
    Lesson {
        name: "hello",
        run: |url, say| Box::pin(hello::lesson(url, say)),
        says: &["sent 'hello world'", "received 'hello world'"],
    },
    Lesson {
        name: "work_queue",
        run: |url, say| Box::pin(work_queue::lesson(url, say)),
        says: &[
            "sent 4 pieces of work",
            "the slow worker begins 'a long report'",
            "the quick worker has done 'letter 1'",
            "the quick worker has done 'letter 2'",
            "the quick worker begins 'letter 3' and dies",
            "the slow worker has done 'a long report'",
            "the slow worker has done 'letter 3', which comes again",
        ],
    },
    Lesson {
        name: "logs_fanout",
        run: |url, say| Box::pin(logs_fanout::lesson(url, say)),
        says: &[
            "logged 'nobody hears this'",
            "logged 'disk is full'",
            "logged 'disk is empty again'",
            "lesson.logs.screen has 'disk is full'",
            "lesson.logs.screen has 'disk is empty again'",
            "lesson.logs.disk has 'disk is full'",
            "lesson.logs.disk has 'disk is empty again'",
        ],
    },
    Lesson {
        name: "logs_direct",
        run: |url, say| Box::pin(logs_direct::lesson(url, say)),
        says: &[
            "logged info: 'started'",
            "logged error: 'disk is full'",
            "logged debug: 'x = 7'",
            "lesson.direct.screen has info: 'started'",
            "lesson.direct.screen has error: 'disk is full'",
            "lesson.direct.screen has 0 more",
            "lesson.direct.file has error: 'disk is full'",
            "lesson.direct.file has 0 more",
        ],
    },
    Lesson {
        name: "logs_topic",
        run: |url, say| Box::pin(logs_topic::lesson(url, say)),
        says: &[
            "logged kern.critical",
            "logged cron.info",
            "logged kern.info",
            "logged cron.critical",
            "kern.* has kern.critical, kern.info",
            "*.critical has kern.critical, cron.critical",
            "# has kern.critical, cron.info, kern.info, cron.critical",
        ],
    },
    Lesson {
        name: "headers",
        run: |url, say| Box::pin(headers::lesson(url, say)),
        says: &[
            "sent a job for a Linux on ARM",
            "sent a job for any Linux",
            "sent a job for a BSD",
            "all of os=linux, arch=arm: the job for a Linux on ARM",
            "any of os=linux, arch=arm: the job for a Linux on ARM",
            "any of os=linux, arch=arm: the job for any Linux",
        ],
    },
    Lesson {
        name: "rpc",
        run: |url, say| Box::pin(rpc::lesson(url, say)),
        says: &[
            "fibonacci(10) is 55",
            "fibonacci(30) is 832040",
            "fibonacci(ten) is a number up to 90, please",
        ],
    },
    Lesson {
        name: "orders",
        run: |url, say| Box::pin(orders::lesson(url, say)),
        says: &[
            "in: one two three four five",
            "first in, first out: one two three four five",
            "by priority: four two five one three",
            "last in, first out, by rising priorities: five four three two one",
            "last in, first out, by the consumer's stack: five four three two one",
        ],
    },
];

impl Lesson {
    fn check(&self, url: &str) -> Result<(), String> {
        let said = Mutex::new(Vec::new());
        let say = |line: String| said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let run = (self.run)(url, &say);
        let outcome = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), run).await });
        outcome
            .map_err(|_| format!("{}: it did not end", self.name))?
            .map_err(|error| format!("{}: {error}", self.name))?;
        let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
        if said == self.says {
            return Ok(());
        }
        Err(format!("{} said {said:#?}", self.name))
    }
}

/// Runs every lesson, twice: what one leaves behind does not disturb the next.
#[cfg(feature = "rabbitmq")]
pub(crate) fn check_all(url: &str) -> Result<(), String> {
    for _ in 0..2 {
        for lesson in LESSONS {
            lesson.check(url)?;
        }
    }
    Ok(())
}

/// Returns the trials on the embedded queue.
pub(crate) fn trials() -> Vec<Trial> {
    LESSONS
        .iter()
        .map(|lesson| {
            Trial::test(format!("lessons::{}", lesson.name), || {
                Ok(lesson.check("memory:")?)
            })
        })
        .collect()
}
