//! Drains the outbox: tells what became of deployments, again and again with growing pauses until it is heard.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock;
use crate::deploy::World;
use crate::notify;
use crate::worker::Settings;

/// Pause between two looks at the outbox.
const PAUSE: Duration = Duration::from_secs(2);

/// A message is given up after so many tries: with doubling pauses from 5 s that is about a day and a half.
const TRIES: u32 = 15;

/// First pause before a message is sent again; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// Sends what waits, for ever.
pub async fn run(world: World, settings: watch::Receiver<Settings>) {
    loop {
        if let Err(error) = drain(&world, &settings).await {
            tracing::warn!(%error, "the outbox could not be read");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn drain(world: &World, settings: &watch::Receiver<Settings>) -> Result<(), crate::store::StoreError> {
    let store = &world.store;
    for message in store.outbox(clock::now()).await? {
        let channel = settings.borrow().config.notify.get(&message.channel).cloned();
        let Some(channel) = channel else {
            store.sent(message.id).await?;
            continue;
        };
        match notify::send(&world.program, &channel, &message.body).await {
            Ok(()) => store.sent(message.id).await?,
            Err(reason) if message.attempt + 1 >= TRIES => {
                tracing::warn!("notify {}: given up after {TRIES} tries: {reason}", message.channel);
                store.sent(message.id).await?;
            }
            Err(reason) => {
                tracing::warn!("notify {}: {reason}; it is tried again", message.channel);
                let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(message.attempt));
                store.send_later(message.id, clock::now().after(wait)).await?;
            }
        }
    }
    Ok(())
}
