"""Floor 8: the management page and the JSON API of the box.

server      listens; composes everything below       settings  where and how much
table       every route: method, path, action, object, form or JSON
routing     what a route, an operation, a query and a page are
gate        host, origin, forgery, who is asking; errors as answers
authority   the one authorizer                        entry     setup code, sign-in, tokens
desk        performs, audits, answers                 throttle  limits on guessing
operations_*  what can be done, once for pages and programs
pages_*       what is shown                           rendering  templates, static files
panel_pages   the clients of many sites in pages
fields, shapes, openapi  what goes in, what comes out, and its description
live        server-sent events                        doors     cameras and tracker as seen here
"""
