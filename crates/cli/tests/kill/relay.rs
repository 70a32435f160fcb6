//! A network between a client and a server, which can be cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// It listens at an address that stays, and leads to a server that may not.
pub struct Relay {
    pub address: SocketAddr,
    leads_to: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Relay {
    pub async fn open() -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let leads_to = Arc::new(Mutex::new(None::<String>));
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (to, all) = (Arc::clone(&leads_to), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = to.lock().unwrap().clone();
                let Some(to) = to else { continue };
                all.lock().unwrap().spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Relay { address, leads_to, task, connections }
    }

    /// It leads there from now on.
    pub fn lead_to(&self, server: &str) {
        *self.leads_to.lock().unwrap() = Some(server.to_owned());
    }

    /// The network is gone, and with it what was on its way; nobody can connect until it leads somewhere again.
    pub fn cut(&self) {
        *self.leads_to.lock().unwrap() = None;
        self.connections.lock().unwrap().abort_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}
