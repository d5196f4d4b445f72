-- Indexes of tenants beside the main market's, in the same tables. `state` is the main market's, except for `last`, and so is
-- `gone`.

CREATE TABLE tenant_state (
    tenant TEXT PRIMARY KEY, -- the tenant's name
    live INTEGER NOT NULL,
    building INTEGER
) WITHOUT ROWID;

CREATE TABLE tenant_gone (
    tenant TEXT NOT NULL,
    product TEXT NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (tenant, product)
) WITHOUT ROWID;
CREATE INDEX tenant_gone_at ON tenant_gone (at);

ALTER TABLE generation ADD COLUMN tenant TEXT NOT NULL DEFAULT ''; -- whose it is; empty for the main market
CREATE INDEX generation_by_tenant ON generation (tenant);
