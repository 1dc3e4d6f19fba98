//! People with keys, which the real `ssh-keygen` makes.

use std::path::PathBuf;

use super::World;

/// Makes a key without a passphrase; its public half is beside it.
pub(crate) fn key(world: &World, name: &str) -> PathBuf {
    let path = world.at(&format!("{name}.key")).path;
    if !path.exists() {
        let mut command = world.at(".").command("ssh-keygen");
        let done = command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).status().unwrap();
        assert!(done.success());
    }
    path
}

/// Returns the public half of a person's key.
pub(crate) fn public(world: &World, name: &str) -> String {
    std::fs::read_to_string(key(world, name).with_extension("key.pub")).unwrap().trim().to_owned()
}

/// Writes a file of allowed signers, each a name with options, whom it makes `name@example.org`.
pub(crate) fn allow(world: &World, file: &str, people: &[(&str, &str)]) -> PathBuf {
    let line = |(name, options): &(&str, &str)| format!("{name}@example.org {options} {}\n", public(world, name));
    world.at(".").write(file, people.iter().map(line).collect::<String>());
    world.at(file).path
}
