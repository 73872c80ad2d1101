-- onward: title Notes know when they were written
ALTER TABLE notes ADD COLUMN written_at timestamptz NOT NULL DEFAULT now();
