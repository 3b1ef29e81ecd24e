-- Whose a session is: the name that its client has proven (daemon/identity/principal.h). NULL: nobody was asked.
ALTER TABLE session ADD COLUMN owner TEXT;
