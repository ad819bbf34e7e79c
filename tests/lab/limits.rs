//! What root has to say in a drop-in: memory, tasks, network, user.
