//! What can go wrong with objects.

use std::error::Error;

use crate::retry::Class;

/// Why the objects of an archive cannot be used, or did not do what they were asked.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The archive keeps bytes in objects, and nobody said where they are.
    #[error("the archive keeps its bytes in an object store, and none is configured")]
    NotConfigured,
    /// The archive keeps bytes in its database.
    #[error("the archive keeps its bytes in its database, not at `{store}`")]
    InDatabase {
        /// The store that was named.
        store: String,
    },
    /// The archive has no bytes yet, and has not been told to keep them in objects.
    #[error("the archive does not use `{store}` yet")]
    Unprepared {
        /// The store that was named.
        store: String,
    },
    /// The store does not have the objects of any archive.
    #[error("no archive has objects at `{store}`")]
    Absent {
        /// The store.
        store: String,
    },
    /// The store has objects of another archive.
    #[error("the objects at `{store}` are those of archive `{archive}`")]
    Foreign {
        /// The store.
        store: String,
        /// That archive's id, as it stands there.
        archive: String,
    },
    /// The store cannot be used as it is named or set up.
    #[error("cannot use the object store `{store}`")]
    Unusable {
        /// The store.
        store: String,
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store does not let us in, or not do this.
    #[error("the object store `{store}` does not let us {action}")]
    Refused {
        /// The store.
        store: String,
        /// What it was asked to do, as a verb phrase.
        action: &'static str,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store could not be reached, or was too busy.
    #[error("cannot reach the object store `{store}`")]
    Unreachable {
        /// The store.
        store: String,
        /// What the system or the driver said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store failed.
    #[error("the object store `{store}` could not {action}")]
    Failed {
        /// The store.
        store: String,
        /// What it was asked to do, as a verb phrase.
        action: &'static str,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An object is not what its name says.
    #[error("the object `{object}` is damaged: {damage}")]
    Damaged {
        /// The object's URL.
        object: String,
        /// What is wrong, as a clause.
        damage: &'static str,
    },
}

impl ObjectsError {
    /// Returns whether the same may succeed when it is tried again.
    pub fn class(&self) -> Class {
        if matches!(self, Self::Unreachable { .. }) { Class::Transient } else { Class::Permanent }
    }

    /// Returns whether stored bytes are at fault.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}
