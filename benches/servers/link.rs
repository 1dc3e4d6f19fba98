//! A link of some length to a server, which counts how often something is waited for at its other end.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A port that leads to a server.
pub(crate) struct Link {
    pub(crate) port: u16,
    turns: Arc<AtomicU64>,
}

impl Link {
    /// Makes a link to `server` on which a word takes `delay` in each direction. It is there until the benchmark ends.
    pub(crate) fn new(server: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (turns, server) = (Arc::new(AtomicU64::new(0)), server.to_owned());
        let counter = Arc::clone(&turns);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                // A turn is a word of the client after one of the server. The first word is the server's or the client's.
                let answered = Arc::new(AtomicBool::new(true));
                let (asks, answers) = (Arc::clone(&answered), answered);
                let counter = Arc::clone(&counter);
                pass(client.try_clone().unwrap(), server.try_clone().unwrap(), delay, move || {
                    if asks.swap(false, Ordering::SeqCst) {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                });
                pass(server, client, delay, move || answers.store(true, Ordering::SeqCst));
            }
        });
        Self { port, turns }
    }

    /// Returns how many turns there were since this was last asked.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.swap(0, Ordering::SeqCst)
    }
}

/// Passes on what one side says, `delay` later, and tells of each word.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration, heard: impl Fn() + Send + 'static) {
    let (sender, receiver): (Sender<(Instant, Vec<u8>)>, Receiver<_>) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            heard();
            if sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
