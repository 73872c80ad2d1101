use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most bytes of messages that wait here.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Room for messages that wait in this process for their next attempt. A retry here costs no receive, and a FIFO group keeps
/// its tail.
#[derive(Debug)]
pub(crate) struct Parking {
    max_messages: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    messages: usize,
    bytes: usize,
}

/// The room that some messages take, until it is dropped.
#[derive(Debug)]
pub(crate) struct Spot {
    parking: Arc<Parking>,
    messages: usize,
    bytes: usize,
}

impl Parking {
    pub(crate) fn new(max_messages: usize) -> Arc<Self> {
        Arc::new(Self { max_messages, used: Mutex::default() })
    }

    /// Takes room for some messages, if there is as much.
    pub(crate) fn take(self: &Arc<Self>, messages: usize, bytes: usize) -> Option<Spot> {
        let mut used = self.used();
        if !used.leaves_room(self.max_messages, messages, bytes) {
            return None;
        }
        used.messages += messages;
        used.bytes += bytes;
        drop(used);
        Some(Spot { parking: self.clone(), messages, bytes })
    }

    /// Whether there is room for so many messages.
    pub(crate) fn has_room(&self, messages: usize, bytes: usize) -> bool {
        self.used().leaves_room(self.max_messages, messages, bytes)
    }

    /// How many messages wait.
    pub(crate) fn messages(&self) -> usize {
        self.used().messages
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn leaves_room(&self, max_messages: usize, messages: usize, bytes: usize) -> bool {
        self.messages + messages <= max_messages && self.bytes + bytes <= MAX_BYTES
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let mut used = self.parking.used();
        used.messages -= self.messages;
        used.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_by_messages_and_by_bytes() {
        let parking = Parking::new(3);
        let two = parking.take(2, 10).expect("has room");
        assert!(parking.take(2, 10).is_none() && !parking.has_room(2, 10) && parking.has_room(1, 10));
        assert!(parking.take(1, MAX_BYTES).is_none());
        let one = parking.take(1, MAX_BYTES - 10).expect("has room");
        assert!(!parking.has_room(1, 0));
        drop((two, one));
        assert_eq!(parking.messages(), 0);
    }
}
