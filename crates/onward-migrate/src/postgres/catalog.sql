-- The schema of a database: each object with its definition, in the server's own words where it has some.
--
-- The search path is the schema of the journal, `:home`. So what is there has no schema in its name, whatever that schema is
-- called. Left out are what belongs to the server, a provider or an extension, the journals of migration tools, owners, storage
-- on disk, and the order of columns.
WITH spaces AS (
    SELECT n.oid, n.nspname AS name, quote_ident(n.nspname) = :home AS is_home
    FROM pg_namespace n
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND n.nspname NOT IN ('grate', 'RoundhousE', :provided)
    AND :scope
    AND (pg_get_userbyid(n.nspowner) NOT IN (:providers) OR n.nspname = 'public')
    AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
),
-- What an extension made; and the functions and casts that the server makes for a range type.
members AS (
    SELECT classid, objid FROM pg_depend
    WHERE deptype = 'e' OR deptype = 'i' AND classid IN ('pg_proc'::regclass, 'pg_cast'::regclass)
),
hidden AS (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND relname IN (:journals)),
relations AS (
    SELECT c.*, c.oid::regclass AS name,
        CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
        WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type' ELSE 'table' END AS kind
    FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
    WHERE c.oid NOT IN (SELECT oid FROM hidden) AND pg_get_userbyid(c.relowner) NOT IN (:providers)
    AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT objid, classid FROM members)
),
functions AS (
    SELECT p.*, p.oid::regprocedure AS name FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
    WHERE (p.oid, 'pg_proc'::regclass) NOT IN (SELECT objid, classid FROM members)
),
types AS (
    SELECT t.*, t.oid::regtype AS name FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r', 'b') AND t.typelem = 0
    AND (t.oid, 'pg_type'::regclass) NOT IN (SELECT objid, classid FROM members)
),
-- What somebody other than the owner may do. Servers before PostgreSQL 17 do not know MAINTAIN.
acls(object, acl, default_acl, owner) AS (
    SELECT kind || ' ' || name, relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner), relowner
    FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'column ' || c.name || '.' || quote_ident(a.attname), a.attacl, acldefault('c', c.relowner), c.relowner
    FROM relations c JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT 'function ' || name, proacl, acldefault('f', proowner), proowner FROM functions
    UNION ALL
    SELECT 'type ' || name, typacl, acldefault('T', typowner), typowner FROM types
    UNION ALL
    SELECT 'schema ' || quote_ident(s.name), n.nspacl, acldefault('n', n.nspowner), n.nspowner
    FROM pg_namespace n JOIN spaces s ON s.oid = n.oid WHERE NOT s.is_home AND s.name <> 'public'
),
grants AS (
    SELECT object, granted, by_default FROM acls,
    LATERAL (SELECT string_agg(text, ', ' ORDER BY text COLLATE "C") FROM (
        SELECT privilege_type || CASE WHEN is_grantable THEN ' with grant option' ELSE '' END || ' to '
            || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        FROM aclexplode(acl) WHERE grantee <> owner AND privilege_type <> 'MAINTAIN') AS g(text)) AS g(granted),
    LATERAL (SELECT string_agg(text, ', ' ORDER BY text COLLATE "C") FROM (
        SELECT privilege_type || ' to PUBLIC' FROM aclexplode(default_acl) WHERE grantee = 0) AS d(text)) AS d(by_default)
    WHERE acl IS NOT NULL
)

SELECT 'schema ' || quote_ident(name) AS object, '' AS definition FROM spaces WHERE NOT is_home AND name <> 'public'

UNION ALL
SELECT c.kind || ' ' || c.name, concat_ws(', ',
    CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid, true) END,
    CASE WHEN c.relkind = 'p' THEN 'partition by ' || pg_get_partkeydef(c.oid) END,
    CASE WHEN c.reloftype <> 0 THEN 'of ' || format_type(c.reloftype, NULL) END,
    (SELECT CASE WHEN c.relispartition THEN 'partition of ' ELSE 'inherits ' END
        || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
        FROM pg_inherits i WHERE i.inhrelid = c.oid),
    pg_get_expr(c.relpartbound, c.oid, true),
    CASE WHEN c.relrowsecurity THEN 'row level security' END,
    CASE WHEN c.relforcerowsecurity THEN 'forced row level security' END,
    CASE WHEN c.relkind NOT IN ('r', 'p') THEN NULL WHEN c.relreplident = 'n' THEN 'replica identity nothing'
    WHEN c.relreplident = 'f' THEN 'replica identity full'
    WHEN c.relreplident = 'i' THEN 'replica identity ' || (
        SELECT i.indexrelid::regclass FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident) END,
    (SELECT 'with ' || string_agg(o, ', ' ORDER BY o COLLATE "C") FROM unnest(c.reloptions) o),
    (SELECT 'using ' || a.amname FROM pg_am a WHERE a.oid = c.relam AND a.amname <> 'heap'),
    (SELECT 'options ' || string_agg(o, ', ' ORDER BY o COLLATE "C") FROM pg_foreign_table t, unnest(t.ftoptions) o
        WHERE t.ftrelid = c.oid),
    (SELECT 'server ' || quote_ident(f.srvname) FROM pg_foreign_table t JOIN pg_foreign_server f ON f.oid = t.ftserver
        WHERE t.ftrelid = c.oid))
FROM relations c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')

UNION ALL
SELECT 'sequence ' || c.name, concat_ws(', ',
    CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
    format_type(q.seqtypid, NULL), 'start ' || q.seqstart, 'increment ' || q.seqincrement,
    'min ' || q.seqmin, 'max ' || q.seqmax, 'cache ' || q.seqcache, CASE WHEN q.seqcycle THEN 'cycle' END,
    'owned by ' || d.refobjid::regclass || '.' || quote_ident(a.attname))
FROM relations c JOIN pg_sequence q ON q.seqrelid = c.oid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refobjid IS NULL OR d.refobjid NOT IN (SELECT oid FROM hidden)

UNION ALL
SELECT 'column ' || c.name || '.' || quote_ident(a.attname), concat_ws(', ',
    format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0 THEN 'collate ' || (
        SELECT CASE WHEN l.collnamespace = 'pg_catalog'::regnamespace OR s.is_home THEN '' ELSE l.collnamespace::regnamespace || '.' END
            || quote_ident(l.collname)
        FROM pg_collation l LEFT JOIN spaces s ON s.oid = l.collnamespace WHERE l.oid = a.attcollation) END,
    CASE WHEN a.attnotnull THEN 'not null' END,
    CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END,
    CASE a.attgenerated WHEN 's' THEN 'generated stored ' WHEN 'v' THEN 'generated virtual ' ELSE 'default ' END
        || pg_get_expr(d.adbin, d.adrelid, true),
    CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || CASE a.attstorage
        WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'x' THEN 'extended' ELSE 'main' END END,
    CASE :compression WHEN 'p' THEN 'compression pglz' WHEN 'l' THEN 'compression lz4' END,
    'statistics ' || nullif(a.attstattarget, -1),
    (SELECT 'options ' || string_agg(o, ', ' ORDER BY o COLLATE "C") FROM unnest(a.attfdwoptions) o),
    (SELECT 'with ' || string_agg(o, ', ' ORDER BY o COLLATE "C") FROM unnest(a.attoptions) o))
FROM relations c
JOIN pg_attribute a ON a.attrelid = c.oid
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE (c.relkind IN ('r', 'p', 'f', 'c', 'm') OR c.relkind = 'v' AND d.oid IS NOT NULL) AND a.attnum > 0 AND NOT a.attisdropped

UNION ALL
-- NOT NULL is a property of the column; PostgreSQL 18 lists it as a constraint, too. What a partition has from its parent is
-- said there.
SELECT 'constraint ' || c.name || '.' || quote_ident(k.conname), concat_ws(', ', pg_get_constraintdef(k.oid, true),
    CASE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O')
    THEN 'not enforced: its triggers are disabled' END,
    CASE WHEN EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = k.conindid AND NOT i.indisvalid) THEN 'invalid' END)
FROM relations c JOIN pg_constraint k ON k.conrelid = c.oid
WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND k.conislocal

UNION ALL
SELECT 'index ' || c.name, concat_ws(', ', pg_get_indexdef(c.oid, 0, true),
    CASE WHEN NOT i.indisvalid THEN 'invalid' END, CASE WHEN i.indisclustered THEN 'clustered' END)
FROM relations c JOIN pg_index i ON i.indexrelid = c.oid
WHERE i.indrelid NOT IN (SELECT oid FROM hidden) AND NOT c.relispartition
AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x'))

UNION ALL
SELECT 'trigger ' || c.name || '.' || quote_ident(t.tgname), concat_ws(', ', pg_get_triggerdef(t.oid, true),
    CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid
WHERE NOT t.tgisinternal AND :own_trigger

UNION ALL
SELECT 'rule ' || c.name || '.' || quote_ident(r.rulename), concat_ws(', ',
    pg_get_ruledef(r.oid, true),
    CASE r.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
FROM relations c JOIN pg_rewrite r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN'

UNION ALL
SELECT 'policy ' || c.name || '.' || quote_ident(p.polname), concat_ws(', ',
    CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
    CASE p.polcmd WHEN 'r' THEN 'for select' WHEN 'a' THEN 'for insert' WHEN 'w' THEN 'for update' WHEN 'd' THEN 'for delete'
    ELSE 'for all' END,
    (SELECT 'to ' || string_agg(role, ', ' ORDER BY role COLLATE "C") FROM (
        SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END FROM unnest(p.polroles) r) AS r(role)),
    'using ' || pg_get_expr(p.polqual, p.polrelid, true), 'with check ' || pg_get_expr(p.polwithcheck, p.polrelid, true))
FROM relations c JOIN pg_policy p ON p.polrelid = c.oid

UNION ALL
SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || p.name, concat_ws(', ',
    'arguments (' || pg_get_function_arguments(p.oid) || ')', 'returns ' || pg_get_function_result(p.oid),
    'language ' || l.lanname, CASE p.prokind WHEN 'w' THEN 'window' END,
    CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' END,
    CASE WHEN p.proisstrict THEN 'strict' END, CASE WHEN p.prosecdef THEN 'security definer' END,
    CASE WHEN p.proleakproof THEN 'leakproof' END,
    CASE p.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' END,
    'cost ' || p.procost, CASE WHEN p.proretset THEN 'rows ' || p.prorows END,
    (SELECT 'set ' || string_agg(o, ', ' ORDER BY o COLLATE "C") FROM unnest(p.proconfig) o),
    'body ' || :body)
FROM functions p JOIN pg_language l ON l.oid = p.prolang WHERE p.prokind <> 'a'

UNION ALL
SELECT 'aggregate ' || p.name, concat_ws(', ', pg_get_function_arguments(p.oid),
    'function ' || a.aggtransfn::regprocedure, 'state ' || format_type(a.aggtranstype, NULL), 'initially ' || a.agginitval,
    'final ' || nullif(a.aggfinalfn::text, '-'), 'combine ' || nullif(a.aggcombinefn::text, '-'),
    nullif('kind ' || a.aggkind::text, 'kind n'))
FROM functions p JOIN pg_aggregate a ON a.aggfnoid = p.oid

UNION ALL
SELECT 'type ' || t.name, CASE t.typtype
    WHEN 'e' THEN concat('enum ', (
        SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
    WHEN 'd' THEN concat_ws(', ', 'domain over ' || format_type(t.typbasetype, t.typtypmod),
        (SELECT 'collate ' || quote_ident(l.collname) FROM pg_collation l, pg_type b
            WHERE l.oid = t.typcollation AND b.oid = t.typbasetype AND b.typcollation <> t.typcollation),
        CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault)
    WHEN 'r' THEN (SELECT concat_ws(', ', 'range of ' || format_type(r.rngsubtype, NULL),
        (SELECT 'collate ' || quote_ident(l.collname) FROM pg_collation l, pg_type b
            WHERE l.oid = r.rngcollation AND b.oid = r.rngsubtype AND b.typcollation <> r.rngcollation),
        (SELECT 'operator class ' || quote_ident(o.opcname) FROM pg_opclass o WHERE o.oid = r.rngsubopc AND NOT o.opcdefault),
        'canonical ' || nullif(r.rngcanonical::text, '-'), 'difference ' || nullif(r.rngsubdiff::text, '-'))
        FROM pg_range r WHERE r.rngtypid = t.oid)
    ELSE 'base, input ' || t.typinput END
FROM types t

UNION ALL
SELECT 'constraint ' || t.name || '.' || quote_ident(k.conname), pg_get_constraintdef(k.oid, true)
FROM types t JOIN pg_constraint k ON k.contypid = t.oid WHERE k.contype = 'c'

UNION ALL
SELECT 'operator ' || o.oid::regoperator, concat_ws(', ', 'returns ' || format_type(o.oprresult, NULL),
    'function ' || o.oprcode, 'commutator ' || nullif(o.oprcom, 0)::regoperator, 'negator ' || nullif(o.oprnegate, 0)::regoperator,
    'restrict ' || nullif(o.oprrest::text, '-'), 'join ' || nullif(o.oprjoin::text, '-'),
    CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END)
FROM pg_operator o JOIN spaces s ON s.oid = o.oprnamespace
WHERE (o.oid, 'pg_operator'::regclass) NOT IN (SELECT objid, classid FROM members)

UNION ALL
SELECT 'operator class ' || CASE WHEN s.is_home THEN '' ELSE quote_ident(s.name) || '.' END || quote_ident(o.opcname)
    || ' using ' || m.amname,
    concat_ws(', ', format_type(o.opcintype, NULL), CASE WHEN o.opcdefault THEN 'default' END,
        'stores ' || format_type(nullif(o.opckeytype, 0), NULL))
FROM pg_opclass o JOIN spaces s ON s.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod
WHERE (o.oid, 'pg_opclass'::regclass) NOT IN (SELECT objid, classid FROM members)

UNION ALL
SELECT 'operator family ' || CASE WHEN s.is_home THEN '' ELSE quote_ident(s.name) || '.' END || quote_ident(f.opfname)
    || ' using ' || m.amname, concat_ws(', ',
    (SELECT 'operators ' || string_agg(o.amopstrategy || ' ' || o.amopopr::regoperator, ', ' ORDER BY o.amopstrategy,
        o.amopopr::regoperator::text COLLATE "C") FROM pg_amop o WHERE o.amopfamily = f.oid),
    (SELECT 'functions ' || string_agg(p.amprocnum || ' ' || p.amproc::regprocedure, ', ' ORDER BY p.amprocnum,
        p.amproc::regprocedure::text COLLATE "C") FROM pg_amproc p WHERE p.amprocfamily = f.oid))
FROM pg_opfamily f JOIN spaces s ON s.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
WHERE (f.oid, 'pg_opfamily'::regclass) NOT IN (SELECT objid, classid FROM members)

UNION ALL
SELECT 'collation ' || CASE WHEN s.is_home THEN '' ELSE quote_ident(s.name) || '.' END || quote_ident(l.collname),
    concat_ws(', ', 'provider ' || l.collprovider::text,
        coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collcollate),
        CASE WHEN NOT l.collisdeterministic THEN 'not deterministic' END)
FROM pg_collation l JOIN spaces s ON s.oid = l.collnamespace
WHERE (l.oid, 'pg_collation'::regclass) NOT IN (SELECT objid, classid FROM members)

UNION ALL
SELECT 'text search configuration ' || f.oid::regconfig,
    concat_ws(', ', 'parser ' || r.prsname, (
        SELECT string_agg(y.alias || ' with ' || x.dictionaries, ', ' ORDER BY y.alias COLLATE "C")
        FROM (SELECT maptokentype, string_agg(mapdict::regdictionary::text, ' ' ORDER BY mapseqno) AS dictionaries
            FROM pg_ts_config_map WHERE mapcfg = f.oid GROUP BY maptokentype) x
        JOIN ts_token_type(f.cfgparser) y ON y.tokid = x.maptokentype))
FROM pg_ts_config f JOIN spaces s ON s.oid = f.cfgnamespace JOIN pg_ts_parser r ON r.oid = f.cfgparser
WHERE (f.oid, 'pg_ts_config'::regclass) NOT IN (SELECT objid, classid FROM members)

UNION ALL
SELECT 'text search dictionary ' || i.oid::regdictionary, concat_ws(', ', 'template ' || t.tmplname, i.dictinitoption)
FROM pg_ts_dict i JOIN spaces s ON s.oid = i.dictnamespace JOIN pg_ts_template t ON t.oid = i.dicttemplate
WHERE (i.oid, 'pg_ts_dict'::regclass) NOT IN (SELECT objid, classid FROM members)

UNION ALL
SELECT 'statistics ' || CASE WHEN s.is_home THEN '' ELSE quote_ident(s.name) || '.' END || quote_ident(x.stxname),
    concat_ws(', ', regexp_replace(pg_get_statisticsobjdef(x.oid),
        '^CREATE STATISTICS ("([^"]|"")+"|[^".]+)(\.("([^"]|"")+"|[^" ]+))? ', ''), 'target ' || nullif(x.stxstattarget, -1))
FROM pg_statistic_ext x JOIN spaces s ON s.oid = x.stxnamespace

UNION ALL
SELECT 'comment on ' || c.kind || ' ' || c.name || coalesce('.' || quote_ident(a.attname), ''), d.description
FROM relations c JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
LEFT JOIN pg_attribute a ON d.objsubid > 0 AND a.attrelid = c.oid AND a.attnum = d.objsubid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')

UNION ALL
SELECT 'comment on constraint ' || coalesce(c.name::text, t.name::text) || '.' || quote_ident(k.conname), d.description
FROM pg_constraint k JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid
LEFT JOIN relations c ON c.oid = k.conrelid LEFT JOIN types t ON t.oid = k.contypid
WHERE c.oid IS NOT NULL OR t.oid IS NOT NULL

UNION ALL
SELECT 'comment on index ' || c.name, d.description
FROM relations c JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
WHERE c.relkind IN ('i', 'I')

UNION ALL
SELECT 'comment on trigger ' || c.name || '.' || quote_ident(t.tgname), d.description
FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid
JOIN pg_description d ON d.classoid = 'pg_trigger'::regclass AND d.objoid = t.oid

UNION ALL
SELECT 'comment on policy ' || c.name || '.' || quote_ident(p.polname), d.description
FROM relations c JOIN pg_policy p ON p.polrelid = c.oid
JOIN pg_description d ON d.classoid = 'pg_policy'::regclass AND d.objoid = p.oid

UNION ALL
SELECT 'comment on rule ' || c.name || '.' || quote_ident(r.rulename), d.description
FROM relations c JOIN pg_rewrite r ON r.ev_class = c.oid
JOIN pg_description d ON d.classoid = 'pg_rewrite'::regclass AND d.objoid = r.oid

UNION ALL
SELECT 'comment on schema ' || quote_ident(s.name), d.description
FROM spaces s JOIN pg_description d ON d.classoid = 'pg_namespace'::regclass AND d.objoid = s.oid
WHERE NOT s.is_home AND s.name <> 'public'

UNION ALL
SELECT 'comment on function ' || p.name, d.description
FROM functions p JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = p.oid

UNION ALL
SELECT 'comment on type ' || t.name, d.description
FROM types t JOIN pg_description d ON d.classoid = 'pg_type'::regclass AND d.objoid = t.oid

UNION ALL
SELECT 'grants on ' || CASE a.defaclobjtype WHEN 'r' THEN 'new tables' WHEN 'S' THEN 'new sequences' WHEN 'f' THEN 'new functions'
    WHEN 'T' THEN 'new types' ELSE 'new schemas' END || coalesce(' in ' || CASE WHEN s.is_home THEN 'this schema'
    ELSE quote_ident(s.name) END, ''),
    string_agg(x.privilege_type || ' to ' || CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
        ', ' ORDER BY x.privilege_type COLLATE "C", x.grantee)
FROM pg_default_acl a LEFT JOIN spaces s ON s.oid = a.defaclnamespace, aclexplode(a.defaclacl) x
WHERE (s.oid IS NOT NULL OR a.defaclnamespace = 0 AND :is_whole) AND x.grantee <> a.defaclrole
AND x.privilege_type <> 'MAINTAIN'
GROUP BY a.defaclobjtype, s.is_home, s.name, a.defaclrole

UNION ALL
SELECT 'grants on ' || object, coalesce(granted, 'none') FROM grants WHERE granted IS DISTINCT FROM by_default

-- What belongs to the database as a whole. The options of a foreign server are an environment's own.
UNION ALL
SELECT 'extension ' || quote_ident(extname), '' FROM pg_extension
WHERE :is_whole AND extname <> 'plpgsql' AND pg_get_userbyid(extowner) NOT IN (:providers)

UNION ALL
SELECT 'cast (' || format_type(castsource, NULL) || ' as ' || format_type(casttarget, NULL) || ')', concat_ws(', ',
    CASE castmethod WHEN 'f' THEN 'function ' || castfunc::regprocedure WHEN 'i' THEN 'inout' ELSE 'binary' END,
    CASE castcontext WHEN 'a' THEN 'assignment' WHEN 'i' THEN 'implicit' END)
FROM pg_cast k
WHERE :is_whole AND k.oid >= :first_of_user
AND (k.oid, 'pg_cast'::regclass) NOT IN (SELECT objid, classid FROM members)

UNION ALL
SELECT 'event trigger ' || quote_ident(evtname), concat_ws(', ', 'on ' || evtevent, 'function ' || evtfoid::regprocedure,
    (SELECT 'for ' || string_agg(t, ', ' ORDER BY t COLLATE "C") FROM unnest(evttags) t),
    CASE evtenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
FROM pg_event_trigger e
WHERE :is_whole AND pg_get_userbyid(evtowner) NOT IN (:providers)
AND (e.oid, 'pg_event_trigger'::regclass) NOT IN (SELECT objid, classid FROM members)

UNION ALL
SELECT 'publication ' || quote_ident(pubname), concat_ws(', ', CASE WHEN puballtables THEN 'all tables' END, :published,
    CASE WHEN pubviaroot THEN 'via root' END, CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
    CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END)
FROM pg_publication p WHERE :is_whole

UNION ALL
SELECT 'foreign server ' || quote_ident(srvname), 'wrapper ' || quote_ident(w.fdwname)
FROM pg_foreign_server f JOIN pg_foreign_data_wrapper w ON w.oid = f.srvfdw
WHERE :is_whole AND pg_get_userbyid(srvowner) NOT IN (:providers)
AND (f.oid, 'pg_foreign_server'::regclass) NOT IN (SELECT objid, classid FROM members)
