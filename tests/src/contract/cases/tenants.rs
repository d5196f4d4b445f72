use souk_core::tenant::TenantDocuments;
use souk_core::{Change, Commit, Consistency, Documents as _, Entry, Key, Query, Tenant};

use crate::contract::Bench;

/// A tenant of this case.
fn tenant(bench: &Bench, name: &str) -> Tenant {
    let unique: String = bench
        .partition("")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    Tenant::named(&format!("{name}{}", unique.to_lowercase())).unwrap()
}

async fn fill(bench: &Bench, tenant: &Tenant, documents: usize) -> TenantDocuments {
    let store = TenantDocuments::new(bench.store.clone(), tenant.clone());
    for n in 0..documents {
        let key = Key::new(format!("thing/{}", n % 3), format!("{n:04}"));
        let entries = vec![Entry::new("things", format!("{n:04}"))];
        let body = format!(r#"{{"of":"{}","n":{n}}}"#, tenant.name());
        store
            .commit(Commit::new(vec![Change::create(key, body, entries)]))
            .await
            .unwrap();
    }
    store
}

/// All documents of a tenant, with the keys that it uses.
async fn scanned(bench: &Bench, tenant: &Tenant) -> Vec<(Key, String)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let scan = bench.store.scan(tenant, after.as_deref()).await.unwrap();
        for document in scan.documents {
            let own = tenant.own(&document.key.pk).unwrap().to_owned();
            all.push((Key::new(own, document.key.sk), document.body));
        }
        after = scan.next;
        if after.is_none() {
            all.sort();
            return all;
        }
    }
}

/// A scan has all documents of a tenant, each once, and none of another one, also if its name begins alike.
pub async fn scans(bench: &Bench) {
    let (one, more) = (tenant(bench, "a"), tenant(bench, "ab"));
    let alike = Tenant::named(&format!("{}-x", one.name())).unwrap();
    fill(bench, &one, 130).await;
    fill(bench, &alike, 2).await;
    let expected = |tenant: &Tenant, n| {
        let body = format!(r#"{{"of":"{}","n":{n}}}"#, tenant.name());
        (Key::new(format!("thing/{}", n % 3), format!("{n:04}")), body)
    };
    for (tenant, count) in [(&one, 130), (&alike, 2), (&more, 0)] {
        let mut all: Vec<_> = (0..count).map(|n| expected(tenant, n)).collect();
        all.sort();
        assert_eq!(scanned(bench, tenant).await, all);
    }
    assert!(bench.store.scan(&Tenant::main(), None).await.is_err());
}

/// An erasure removes all documents and entries of a tenant, and nothing of another one.
pub async fn erases(bench: &Bench) {
    let one = tenant(bench, "c");
    let alike = Tenant::named(&format!("{}-x", one.name())).unwrap();
    let store = fill(bench, &one, 40).await;
    let kept = fill(bench, &alike, 3).await;
    let mut after = None;
    loop {
        after = bench.store.erase(&one, after.as_deref()).await.unwrap();
        if after.is_none() {
            break;
        }
    }
    assert_eq!(scanned(bench, &one).await, []);
    // Its entries are gone too: those of what is written later are the only ones.
    fill(bench, &one, 1).await;
    for (store, count) in [(&store, 1), (&kept, 3)] {
        let page = store
            .query(&Query::index("things", 100), Consistency::Strong)
            .await
            .unwrap();
        assert_eq!(page.items.len(), count);
    }
    assert_eq!(scanned(bench, &alike).await.len(), 3);
    assert!(bench.store.erase(&Tenant::main(), None).await.is_err());
}
