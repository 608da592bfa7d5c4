PRAGMA application_id = 1400130679;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE asked (
	source TEXT NOT NULL, 
	until INTEGER NOT NULL, 
	memo TEXT NOT NULL, 
	PRIMARY KEY (source)
);
CREATE TABLE collector (
	only INTEGER NOT NULL, 
	journal INTEGER NOT NULL, 
	state BLOB NOT NULL, 
	PRIMARY KEY (only)
);
INSERT INTO "collector" VALUES(1,3,X'636F6C6C6563746F72207374617465');
CREATE TABLE deployments (
	id TEXT NOT NULL, 
	service TEXT NOT NULL, 
	known INTEGER NOT NULL, 
	whole TEXT NOT NULL, 
	PRIMARY KEY (id, service)
);
INSERT INTO "deployments" VALUES('r1','importer',650,'{"id":"r1","time":650,"service":"importer","version":"1","previous_version":"","environment":"","url":"","revision":"","author":"","kind":"deploy","description":"","reported":0,"seen":false}');
CREATE TABLE incidents (
	id TEXT NOT NULL, 
	opened INTEGER NOT NULL, 
	resolved INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	event TEXT NOT NULL, 
	shown TEXT NOT NULL, 
	muted INTEGER NOT NULL, 
	edits INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE intervals (
	start INTEGER NOT NULL, 
	closed INTEGER NOT NULL, 
	watched INTEGER NOT NULL, 
	counts BLOB NOT NULL, 
	late BLOB, 
	PRIMARY KEY (start)
);
INSERT INTO "intervals" VALUES(600,675,1,X'047801636060605870C0A11E0005C70220',NULL);
INSERT INTO "intervals" VALUES(660,735,1,X'0478016360606078D0E0600F0005C701E0',NULL);
CREATE TABLE journal (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	received FLOAT NOT NULL, 
	body BLOB NOT NULL
);
INSERT INTO "journal" VALUES(1,731.5,X'61636B6E6F776C6564676564');
CREATE TABLE news (
	incident TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	time INTEGER NOT NULL, 
	line TEXT NOT NULL, 
	PRIMARY KEY (incident, number)
);
INSERT INTO "news" VALUES('zz',1,720,'{"event": "opened", "incident": "zz", "number": 1}');
INSERT INTO "news" VALUES('aa',1,720,'{"event": "opened", "incident": "aa", "number": 1}');
INSERT INTO "news" VALUES('zz',2,720,'{"event": "opened", "incident": "zz", "number": 2}');
CREATE TABLE outbox (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	incident TEXT NOT NULL, 
	channel TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	message TEXT NOT NULL, 
	entered INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	tries INTEGER NOT NULL, 
	unknown_since INTEGER NOT NULL, 
	not_before INTEGER NOT NULL, 
	receipt_channel TEXT, 
	receipt_id TEXT, 
	why TEXT NOT NULL, 
	UNIQUE (channel, "key")
);
INSERT INTO "outbox" VALUES(1,'zz','#a','zz','{"key":"zz","channel":"#a","text":"first","blocks":[],"replaces":"","reply_to":"","broadcast":false,"chart":null,"notice":null,"due":0,"hold":"","repeat":0}',720,'waiting',0,0,0,NULL,NULL,'');
INSERT INTO "outbox" VALUES(2,'aa','#a','aa','{"key":"aa","channel":"#a","text":"second","blocks":[],"replaces":"","reply_to":"","broadcast":false,"chart":null,"notice":null,"due":0,"hold":"","repeat":0}',720,'waiting',0,0,0,NULL,NULL,'');
INSERT INTO "outbox" VALUES(3,'zz','#a','zz:2','{"key":"zz:2","channel":"#a","text":"third","blocks":[],"replaces":"","reply_to":"","broadcast":false,"chart":null,"notice":null,"due":0,"hold":"","repeat":0}',720,'waiting',0,0,0,NULL,NULL,'');
CREATE TABLE pauses (
	channel TEXT NOT NULL, 
	until INTEGER NOT NULL, 
	PRIMARY KEY (channel)
);
CREATE TABLE rollbacks (
	number INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	incident TEXT NOT NULL, 
	deployment TEXT NOT NULL, 
	state TEXT NOT NULL, 
	tries INTEGER NOT NULL, 
	whole TEXT NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE ("key")
);
INSERT INTO "rollbacks" VALUES(1,'244beced6f5234b1','zz','r1','asked',1,'{"incident":"zz","deployment":"r1","service":"importer","version":"1","to":"0","who":"pia","time":800,"environment":"production","probability":0.9,"state":"asked","said":"","page":""}');
CREATE TABLE series (
	"row" INTEGER NOT NULL, 
	service TEXT NOT NULL, 
	metric TEXT NOT NULL, 
	version TEXT NOT NULL, 
	attributes TEXT NOT NULL, 
	PRIMARY KEY ("row")
);
INSERT INTO "series" VALUES(0,'importer','started','1','[["region", "eu"]]');
INSERT INTO "series" VALUES(1,'importer','failed','1','[]');
CREATE TABLE settled (
	name TEXT NOT NULL, 
	value INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "settled" VALUES('width',60);
CREATE TABLE silences (
	id TEXT NOT NULL, 
	starts INTEGER NOT NULL, 
	ends INTEGER NOT NULL, 
	whole TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE snapshot_parts (
	upto INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state BLOB NOT NULL, 
	PRIMARY KEY (upto, number)
);
CREATE TABLE snapshots (
	upto INTEGER NOT NULL, 
	crc INTEGER NOT NULL, 
	state BLOB NOT NULL, 
	PRIMARY KEY (upto)
);
INSERT INTO "snapshots" VALUES(720,1955576228,X'656E67696E65207374617465');
CREATE TABLE words (
	number INTEGER NOT NULL, 
	incident TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	who TEXT NOT NULL, 
	deployment TEXT NOT NULL, 
	service TEXT NOT NULL, 
	known INTEGER NOT NULL, 
	whole TEXT NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (incident, kind, who, deployment, service)
);
CREATE INDEX ix_deployments_known ON deployments (known);
CREATE INDEX open ON incidents (opened) WHERE resolved = 0;
CREATE INDEX ix_incidents_opened ON incidents (opened);
CREATE INDEX ix_words_known ON words (known);
CREATE INDEX ix_rollbacks_state ON rollbacks (state);
CREATE INDEX ix_rollbacks_incident ON rollbacks (incident);
CREATE INDEX ix_rollbacks_deployment ON rollbacks (deployment);
CREATE INDEX ix_silences_ends ON silences (ends);
CREATE INDEX ix_silences_starts ON silences (starts);
CREATE INDEX waiting ON outbox (number) WHERE state = 'waiting';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',3);
INSERT INTO "sqlite_sequence" VALUES('journal',1);
COMMIT;
