-- The schema after the last sealed script, for people to read. Nothing runs this file.

--
-- Name: deliveries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.deliveries (
    message_id text NOT NULL,
    destination text NOT NULL,
    status text NOT NULL,
    http_status bigint,
    reason text,
    attempts bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT deliveries_status_check CHECK ((status = ANY (ARRAY['delivered'::text, 'retrying'::text, 'rejected'::text])))
);


--
-- Name: destinations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.destinations (
    name text NOT NULL,
    url text NOT NULL,
    timeout_ms bigint DEFAULT 10000 NOT NULL,
    CONSTRAINT destinations_timeout_ms_check CHECK (((timeout_ms >= 1) AND (timeout_ms <= 600000)))
);


--
-- Name: TABLE destinations; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.destinations IS 'Where messages go: a message names a row and can never choose a URL.';


--
-- Name: deliveries deliveries_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (message_id);


--
-- Name: destinations destinations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.destinations
    ADD CONSTRAINT destinations_pkey PRIMARY KEY (name);


--
-- Name: deliveries_by_destination; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX deliveries_by_destination ON public.deliveries USING btree (destination, updated_at);
