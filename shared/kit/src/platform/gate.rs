//! The settings of the gate in this instance.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use souk_core::StoreError;
use souk_core::documents::get_one;

use super::Platform;
use crate::gate::{GATE, GATE_ID, Gate, GateConfig};

/// For how long the settings are not read again, in milliseconds.
const KNOWN_MS: i64 = 3_000;
/// After how long a request waits until they are read again: an instance that had nothing to do may know old ones.
const OLD_MS: i64 = 15_000;

/// What this instance knows of the settings.
#[derive(Default)]
pub(crate) struct GateState {
    current: Mutex<Arc<Gate>>,
    /// When they were last read, in milliseconds since 1970; 0 before that.
    read_at: AtomicI64,
    is_stale: AtomicBool,
}

impl GateState {
    /// Whether they should be read again.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }

    fn current(&self) -> Arc<Gate> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Platform {
    /// The settings that hold. The first request of an instance reads them, and one after a pause; others have them read again after
    /// the response.
    pub(crate) async fn gate(&self) -> Arc<Gate> {
        let now = self.clock.now().as_millisecond();
        let read_at = self.gate.read_at.load(Ordering::Relaxed);
        if read_at == 0 || !(read_at..read_at.saturating_add(OLD_MS)).contains(&now) {
            self.read_gate().await;
        } else if !(read_at..read_at.saturating_add(KNOWN_MS)).contains(&now) {
            self.gate.is_stale.store(true, Ordering::Relaxed);
        }
        self.gate.current()
    }

    /// The settings that this instance knows.
    pub(crate) fn known_gate(&self) -> Arc<Gate> {
        self.gate.current()
    }

    /// Reads the settings. If that fails, those that were known hold.
    pub(crate) async fn read_gate(&self) {
        self.gate.is_stale.store(false, Ordering::Relaxed);
        self.gate
            .read_at
            .store(self.clock.now().as_millisecond().max(1), Ordering::Relaxed);
        match self.stored_gate().await {
            Ok(config) => {
                let is_known = self.gate.current().is(&config);
                let gate = Arc::new(Gate::new(config, &self.registry));
                *self.gate.current.lock().unwrap_or_else(PoisonError::into_inner) = gate;
                if let Some(responses) = self.responses.as_ref().filter(|_| !is_known) {
                    responses.forget_all();
                }
            }
            Err(error) => tracing::warn!(%error, "the settings of the gate cannot be read: those that were known hold"),
        }
    }

    async fn stored_gate(&self) -> Result<GateConfig, StoreError> {
        let stored = get_one(&*self.whole, GATE.key(GATE_ID)).await?;
        stored.map_or_else(|| Ok(GateConfig::default()), |document| document.parse())
    }
}
