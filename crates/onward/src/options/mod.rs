//! The options from outside: one table for flags, variables, their help, and what `doctor` shows.

mod app;
mod given;
mod queue;
mod setting;

pub(crate) use self::app::{APP_SETTINGS, AppOptions};
pub(crate) use self::given::{
    AllOrigins, Given, Origins, WrongValue, arguments, configure, configure_app, names_no_queue,
};
pub(crate) use self::queue::SETTINGS;
pub(crate) use self::setting::{Setting, duration};
