use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// An app's state without its type. With the type, all that carries it, which is the whole of `serve`, would be compiled again with each
/// change of a handler.
#[derive(Clone)]
pub(crate) struct AnyState(Arc<dyn Any + Send + Sync>);

impl AnyState {
    pub(crate) fn new<S: Send + Sync + 'static>(state: S) -> Self {
        Self(Arc::new(state))
    }

    /// The state. `App` has one type for the state of its set-up, its handlers and all else.
    pub(crate) fn get<S: Clone + 'static>(&self) -> S {
        self.0.downcast_ref::<S>().expect("the set-up made the state that the handler takes").clone()
    }
}

impl fmt::Debug for AnyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyState")
    }
}
