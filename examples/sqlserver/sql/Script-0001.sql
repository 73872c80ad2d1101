-- onward: title Deliveries are found by what became of them

CREATE INDEX deliveries_by_status ON deliveries (status, updated_at);
GO
