//! Batches prepared ahead, in a thread beside the training.

use super::CorpusError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Prepared batches that wait to be taken; one more is in the making.
const DEPTH: usize = 2;

/// Takes batches from a source and prepares them (tokenises them) in a thread of its own, at most three
/// ahead of who takes them, in the source's order. An error of either, and a panic, comes out in its
/// place and ends the batches. Dropping it ends the thread.
///
/// `E` is the error of the preparation; [`CorpusError`] and `anyhow::Error` both do.
pub struct Prefetch<I, T, E> {
    /// `None` once the thread is to end.
    prepared: Option<Receiver<Result<T, E>>>,
    thread: Option<JoinHandle<I>>,
}

impl<B, I, T, E> Prefetch<I, T, E>
where
    I: Iterator<Item = Result<B, CorpusError>> + Send + 'static,
    T: Send + 'static,
    E: From<CorpusError> + Send + 'static,
{
    /// Starts a thread that prepares the source's batches, a few ahead of the caller.
    pub fn new(
        source: I,
        prepare: impl FnMut(B) -> Result<T, E> + Send + 'static,
    ) -> Result<Self, CorpusError> {
        let (sender, prepared) = sync_channel(DEPTH);
        let thread = Builder::new()
            .name("batches".to_owned())
            .spawn(move || produce(source, prepare, &sender))
            .map_err(CorpusError::Thread)?;
        Ok(Prefetch { prepared: Some(prepared), thread: Some(thread) })
    }

    /// Ends the thread and gives the source back (with what it tells of the epoch). It is ahead of what
    /// was taken, unless all was taken.
    pub fn finish(mut self) -> Result<I, CorpusError> {
        self.prepared = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(source)) => Ok(source),
            Some(Err(panic)) => Err(panicked(panic.as_ref())),
            None => unreachable!("only finish and drop take the thread"),
        }
    }
}

fn produce<B, I, T, E>(
    mut source: I,
    mut prepare: impl FnMut(B) -> Result<T, E>,
    sender: &SyncSender<Result<T, E>>,
) -> I
where
    I: Iterator<Item = Result<B, CorpusError>>,
    E: From<CorpusError>,
{
    loop {
        // Nothing that a panic may have left half-done is used again: the loop ends with it.
        let next = catch_unwind(AssertUnwindSafe(|| {
            source.next().map(|batch| batch.map_err(E::from).and_then(&mut prepare))
        }));
        let item = match next {
            Ok(None) => return source,
            Ok(Some(item)) => item,
            Err(panic) => Err(panicked(panic.as_ref()).into()),
        };
        let is_last = item.is_err();
        // Sending fails where nobody is left to take it.
        if sender.send(item).is_err() || is_last {
            return source;
        }
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> CorpusError {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
    CorpusError::Panicked { message: message.unwrap_or_else(|| "a panic without a message".to_owned()) }
}

impl<I, T, E> Iterator for Prefetch<I, T, E> {
    type Item = Result<T, E>;

    fn next(&mut self) -> Option<Self::Item> {
        self.prepared.as_ref()?.recv().ok()
    }
}

impl<I, T, E> Drop for Prefetch<I, T, E> {
    fn drop(&mut self) {
        // First, since the thread may be waiting for room.
        self.prepared = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches panics and sends them; one that gets here has nobody left to tell.
            let _ = thread.join();
        }
    }
}
