//! What an app's own tests say of its scripts.

#[test]
fn the_scripts_are_sound() {
    onward::testing::verify(&onward::scripts!());
}
