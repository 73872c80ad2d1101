//! The scripts of the app, in the app's own tests.

#[test]
fn the_scripts_are_sound() {
    onward::testing::verify(&onward::scripts!());
}
