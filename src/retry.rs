//! Trying again: what passes is waited for, what does not pass fails at once.
//!
//! Leaf module: it knows delays, not databases. Whether an error may pass is the caller's to say, because only who
//! talks to an engine knows its errors.

use std::time::Duration;

use crate::clock::Stopwatch;

/// How often to try, and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Attempts in all; none counts as one.
    pub max_attempts: u32,
    /// The delay before the second attempt.
    pub initial_delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
    /// What each delay is multiplied by for the next.
    pub backoff_factor: f64,
    /// Whether delays vary by up to 10 %, so that many clients do not come back together.
    pub jitter: bool,
    /// Where set, the variation is the same every time.
    pub seed: Option<u64>,
}

/// Whether an error may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same attempt may succeed later: a refused connection, a deadlock, a busy database.
    Transient,
    /// It will not: a wrong password, a broken constraint, no space.
    Permanent,
}

/// How it went in the end.
#[derive(Debug)]
pub struct Outcome<T, E> {
    /// What the last attempt returned.
    pub result: Result<T, E>,
    /// The attempts made, from 1.
    pub attempts: u32,
    /// The time from the start of the first attempt to the end of the last, delays included, in milliseconds.
    pub duration_ms: f64,
}

impl Policy {
    /// Returns the policy of a single attempt.
    pub const fn once() -> Self {
        Self {
            max_attempts: 1,
            initial_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            backoff_factor: 1.0,
            jitter: false,
            seed: None,
        }
    }

    /// Returns the delays before the second attempt, the third, and so on: one fewer than there are attempts.
    ///
    /// Before attempt n+1 it is min(`initial_delay` · `backoff_factor`^(n-1), `max_delay`); with jitter that is
    /// multiplied by 0.9 to 1.1, and still at most `max_delay`.
    pub fn delays(&self) -> impl Iterator<Item = Duration> + use<> {
        let policy = *self;
        let mut random = policy.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        (1..policy.max_attempts).map(move |attempt| {
            let exponent = i32::try_from(attempt - 1).unwrap_or(i32::MAX);
            let most = policy.max_delay.as_secs_f64();
            let delay = (policy.initial_delay.as_secs_f64() * policy.backoff_factor.powi(exponent)).min(most);
            let varied = if policy.jitter { delay * (0.9 + 0.2 * random.f64()) } else { delay };
            // Through the shorter type last, so that rounding cannot exceed the longest delay.
            Duration::try_from_secs_f64(varied).unwrap_or(policy.max_delay).min(policy.max_delay)
        })
    }

    /// Calls `operation` with the attempt's number until it succeeds, fails for good, or attempts run out.
    ///
    /// Before each further attempt, `on_retry` is told the attempt that failed, the delay and the error, and `sleep` waits
    /// ([`std::thread::sleep`] outside of tests).
    pub fn run<T, E>(
        &self,
        mut sleep: impl FnMut(Duration),
        classify: impl Fn(&E) -> Class,
        mut on_retry: impl FnMut(u32, Duration, &E),
        mut operation: impl FnMut(u32) -> Result<T, E>,
    ) -> Outcome<T, E> {
        let stopwatch = Stopwatch::start();
        let mut delays = self.delays();
        let mut attempts = 1;
        loop {
            let result = operation(attempts);
            let transient = result.as_ref().err().filter(|error| classify(error) == Class::Transient);
            let Some((error, delay)) = transient.and_then(|error| Some((error, delays.next()?))) else {
                return Outcome { result, attempts, duration_ms: stopwatch.elapsed_ms() };
            };
            on_retry(attempts, delay, error);
            sleep(delay);
            attempts += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        max_attempts: 8,
        initial_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(32),
        backoff_factor: 2.0,
        jitter: false,
        seed: None,
    };

    fn seconds(policy: Policy) -> Vec<f64> {
        policy.delays().map(|delay| delay.as_secs_f64()).collect()
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        assert_eq!(seconds(POLICY), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 32.0]);
        let short = Policy { max_delay: Duration::from_millis(500), ..POLICY };
        assert_eq!(seconds(short), [0.5; 7]);
        assert_eq!(seconds(Policy { max_attempts: 0, ..POLICY }), [0.0; 0]);
    }

    #[test]
    fn jitter_stays_within_a_tenth_and_below_the_longest() {
        let mut differs = false;
        for seed in 0..200 {
            let varied = Policy { jitter: true, seed: Some(seed), ..POLICY };
            for (plain, varied) in seconds(POLICY).into_iter().zip(seconds(varied)) {
                assert!(
                    (plain * 0.899_999..=plain * 1.100_001).contains(&varied) && varied <= 32.0,
                    "{plain} {varied}"
                );
                differs |= (plain - varied).abs() > plain * 0.05;
            }
        }
        assert!(differs);
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let seeded = |seed| seconds(Policy { jitter: true, seed: Some(seed), ..POLICY });
        assert_eq!(seeded(0), seeded(0));
        assert_ne!(seeded(0), seeded(1));
    }

    #[test]
    fn extreme_policies_do_not_overflow() {
        let extreme =
            Policy { max_attempts: 10, max_delay: Duration::MAX, backoff_factor: 1e300, jitter: true, ..POLICY };
        assert_eq!(extreme.delays().count(), 9);
    }

    /// What was slept and reported.
    type Seen = (Vec<Duration>, Vec<(u32, Duration)>);

    /// Runs an operation that fails with each of `errors`, then succeeds.
    fn run(errors: &[Class]) -> (Outcome<u32, Class>, Seen) {
        let (mut slept, mut reported) = (Vec::new(), Vec::new());
        let outcome = Policy { max_attempts: 3, ..POLICY }.run(
            |delay| slept.push(delay),
            |class| *class,
            |attempt, delay, _| reported.push((attempt, delay)),
            |attempt| errors.get(attempt as usize - 1).map_or(Ok(attempt), |class| Err(*class)),
        );
        (outcome, (slept, reported))
    }

    #[test]
    fn passing_failures_are_tried_again() {
        let (outcome, (slept, reported)) = run(&[Class::Transient, Class::Transient]);
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!((outcome.result, outcome.attempts), (Ok(3), 3));
        assert_eq!(slept, [one, two]);
        assert_eq!(reported, [(1, one), (2, two)]);
        assert!(outcome.duration_ms >= 0.0);
    }

    #[test]
    fn lasting_failures_end_it_at_once() {
        let (outcome, (slept, reported)) = run(&[Class::Permanent]);
        assert_eq!((outcome.result, outcome.attempts), (Err(Class::Permanent), 1));
        assert!(slept.is_empty() && reported.is_empty());
    }

    #[test]
    fn attempts_run_out() {
        let (outcome, (slept, _)) = run(&[Class::Transient; 9]);
        assert_eq!((outcome.result, outcome.attempts, slept.len()), (Err(Class::Transient), 3, 2));
    }
}
