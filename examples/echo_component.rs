//! A component that says what was said to any address of its domain. It connects again by itself.

use balcony::prelude::*;

fn main() -> Result<(), Error> {
    // BALCONY_COMPONENT, BALCONY_SECRET and BALCONY_CONNECT: its domain, its secret, and where its server is.
    let echo = Component::from_env();
    block_on(async {
        let mut component = echo.start().await?;
        while let Some(event) = component.next().await? {
            if let ComponentEvent::Message(message) = event
                && let Some(body) = message.body()
            {
                component.send(component.reply(&message).body(body)).await?;
            }
        }
        Ok(())
    })
}
